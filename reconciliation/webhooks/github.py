"""Reads GitHub's webhooks: pushes, refs, pull requests, the repository itself and pings."""

from typing import Final

from reconciliation.webhooks.dialect import (
    ACTION_NOT_RECONCILED,
    Dialect,
    Reading,
    accepted,
    ping_event,
    repository_event,
    set_aside,
)
from reconciliation.webhooks.events import RepositoryChange, RepositoryRef
from reconciliation.webhooks.fields import JsonObject, joined_name
from reconciliation.webhooks.github_checks import (
    read_check_run,
    read_check_suite,
    read_status,
    read_workflow_run,
)
from reconciliation.webhooks.github_family import (
    actor_of,
    read_create,
    read_delete,
    read_pull_request,
    read_push,
    repository_of,
    repository_ref,
)


def read_ping(body: JsonObject) -> Reading:
    """Read the test that GitHub sends once when a hook is made."""
    repository = body.optional_child("repository")
    reference = repository_ref(repository) if repository else RepositoryRef()
    return accepted(ping_event(reference, actor=actor_of(body)))


def read_repository(body: JsonObject) -> Reading:
    """Read a change to the repository itself."""
    repository = repository_of(body)
    change = _change(body.name("action"), body=body, full_name=repository.full_name or "")
    if change is None:
        return set_aside(ACTION_NOT_RECONCILED)
    return accepted(
        repository_event(
            change,
            repository=repository,
            actor=actor_of(body),
            occurred_at=body.child("repository").moment("updated_at"),
        )
    )


def _change(action: str, *, body: JsonObject, full_name: str) -> RepositoryChange | None:
    owner, _, name = full_name.rpartition("/")
    match action:
        case "renamed":
            old_name = body.child("changes").child("repository").child("name").name("from")
            return RepositoryChange(
                action="renamed",
                old_full_name=joined_name(owner, old_name),
                new_full_name=full_name,
            )
        case "transferred":
            old_owner = _old_owner(body.child("changes").child("owner").child("from"))
            return RepositoryChange(
                action="transferred",
                old_full_name=joined_name(old_owner, name) if old_owner else None,
                new_full_name=full_name,
            )
        case "edited":
            return _edit(body)
        case _:
            return _WITHOUT_DETAILS.get(action)


def _edit(body: JsonObject) -> RepositoryChange:
    changes = body.optional_child("changes")
    moved = changes is not None and changes.has("default_branch")
    return RepositoryChange(
        action="default_branch_changed" if moved else "edited",
        default_branch=body.child("repository").optional_name("default_branch"),
    )


def _old_owner(owner: JsonObject) -> str | None:
    account = owner.optional_child("user") or owner.optional_child("organization")
    return account.person("login") if account else None


_WITHOUT_DETAILS: Final = {
    "archived": RepositoryChange(action="archived"),
    "unarchived": RepositoryChange(action="unarchived"),
    "deleted": RepositoryChange(action="deleted"),
}

_TALK: Final = "discussion, not a change to refs"
_PEOPLE: Final = "people and rights; governance reads them from policy, not from hosts"
_SECURITY: Final = "security findings have their own tools"
_APP: Final = "the life of an app or a hook, not of a repository"
_RELEASE: Final = "published from a tag whose push is announced by itself"
_QUEUE: Final = "its refs are pushed, and so announced, like any others"
_DETAIL: Final = "part of a check whose result comes as check_suite or workflow_run"

DIALECT: Final = Dialect(
    event_headers=("x-github-event",),
    delivery_headers=("x-github-delivery",),
    may_be_form=True,
    handled={
        "push": read_push,
        "create": read_create,
        "delete": read_delete,
        "pull_request": read_pull_request,
        "status": read_status,
        "check_run": read_check_run,
        "check_suite": read_check_suite,
        "workflow_run": read_workflow_run,
        "repository": read_repository,
        "ping": read_ping,
    },
    ignored={
        "branch_protection_configuration": "host-side protection; policy decides what is protected",
        "branch_protection_rule": "host-side protection; policy decides what is protected",
        "code_scanning_alert": _SECURITY,
        "commit_comment": _TALK,
        "dependabot_alert": _SECURITY,
        "deploy_key": _PEOPLE,
        "deployment": "deployments start after the merge",
        "deployment_status": "deployments start after the merge",
        "discussion": _TALK,
        "discussion_comment": _TALK,
        "fork": "a fork is another repository",
        "github_app_authorization": _APP,
        "gollum": "wiki pages live in a repository of their own",
        "installation": _APP,
        "installation_repositories": _APP,
        "issue_comment": _TALK,
        "issues": _TALK,
        "label": "labels that no pull request carries yet",
        "member": _PEOPLE,
        "membership": _PEOPLE,
        "merge_group": _QUEUE,
        "meta": _APP,
        "milestone": _TALK,
        "org_block": _PEOPLE,
        "organization": _PEOPLE,
        "package": _RELEASE,
        "page_build": "pages are built after the push",
        "public": "visibility does not move refs",
        "pull_request_review": _TALK,
        "pull_request_review_comment": _TALK,
        "pull_request_review_thread": _TALK,
        "registry_package": _RELEASE,
        "release": _RELEASE,
        "repository_dispatch": "a signal between other programs",
        "repository_import": "a new repository, not governed yet",
        "repository_ruleset": "host-side protection; policy decides what is protected",
        "repository_vulnerability_alert": _SECURITY,
        "secret_scanning_alert": _SECURITY,
        "secret_scanning_alert_location": _SECURITY,
        "security_advisory": _SECURITY,
        "security_and_analysis": _SECURITY,
        "sponsorship": "money",
        "star": "applause",
        "team": _PEOPLE,
        "team_add": _PEOPLE,
        "watch": "applause",
        "workflow_dispatch": "a signal between other programs",
        "workflow_job": _DETAIL,
    },
)
