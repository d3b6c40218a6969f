"""What a person does on each git host to send us webhooks; and guessing the host from a URL."""

STEPS = {
    "github": "Settings > Webhooks > Add webhook: content type application/json; events: pushes,"
    " branch or tag creation and deletion, pull requests, statuses, check runs, repositories.",
    "gitlab": "Settings > Webhooks > Add new webhook: put the secret into `Secret token`, or, if"
    " it begins with whsec_, into `Signing token`; trigger push, merge request, pipeline and job"
    " events.",
    "gitea": "Settings > Webhooks > Add Webhook > Gitea: POST, application/json; custom events:"
    " push, create, delete, pull request, repository.",
    "forgejo": "Settings > Webhooks > Add webhook > Forgejo: POST, application/json; custom events:"
    " push, create, delete, pull request, repository.",
    "gogs": "Settings > Webhooks > Add a new webhook > Gogs: application/json; push, create,"
    " delete, pull request.",
    "bitbucket": "Repository settings > Webhooks > Add webhook: repository push, pull request"
    " (all), build status (both).",
    "bitbucket_dc": "Repository settings > Webhooks > Create webhook: repository push, modified;"
    " pull request (all).",
    "azure": "Project settings > Service hooks > Web Hooks: code pushed, pull request created,"
    " updated, merged; basic authentication with any user and the secret as password.",
    "generic": "Send POST requests signed after the Standard Webhooks specification with the"
    " secret; a server-side post-receive hook can do it for a bare repository.",
}


def guess_host(clone_url: str) -> str:
    """Return the kind of host that a clone URL points to, as far as its name tells."""
    for needle, host in (
        ("github.", "github"),
        ("gitlab.", "gitlab"),
        ("bitbucket.org", "bitbucket"),
        ("dev.azure.com", "azure"),
        ("visualstudio.com", "azure"),
        ("codeberg.org", "forgejo"),
        ("gitea.", "gitea"),
        ("forgejo.", "forgejo"),
    ):
        if needle in clone_url:
            return host
    return "gitea"


def steps_for(host: str, webhook_url: str) -> str:
    """Return the steps for one host, in words."""
    return f"On {host}: {STEPS[host]}\nTarget: {webhook_url}\n"
