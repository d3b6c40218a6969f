"""Names the kinds of git host whose webhooks are understood; knows nothing else about them."""

from enum import StrEnum


class HostKind(StrEnum):
    """One value per dialect; the same words as the host kind of a repository or a source."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    GOGS = "gogs"
    BITBUCKET = "bitbucket"
    BITBUCKET_DC = "bitbucket_dc"
    AZURE = "azure"
    GENERIC = "generic"
