"""Observes a remote that is not governed yet: its heads and their commits' dates."""

from dataclasses import dataclass
from datetime import UTC, datetime

from reconciliation.remotes.base import Credential, Remote, RemoteError, RemoteTarget


class CannotRead(Exception):
    """The remote could not be read; the message says why and what to do."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__(error.message)
        self.code = error.code


@dataclass(frozen=True, slots=True)
class FirstLook:
    """All heads of a remote."""

    heads: dict[str, str]
    digest: str
    default_branch: str


def first_look(clone_url: str, *, credential: tuple[str, str] | None, remote: Remote) -> FirstLook:
    """Read the heads of a remote; nothing of it is kept. Dates come later, with the mirror.

    Raises:
        CannotRead: refused, unreachable, or not a git repository.
    """
    target = RemoteTarget(
        clone_url=clone_url,
        mirror_key="unused",
        credential=Credential(*credential) if credential else None,
    )
    try:
        answer = remote.read_heads(target)
    except RemoteError as error:
        raise CannotRead(error) from error
    return FirstLook(
        heads=dict(answer.heads),
        digest=answer.digest,
        default_branch=answer.default_branch or "",
    )


def commit_dates(
    target: RemoteTarget, heads: dict[str, str], *, remote: Remote
) -> dict[str, datetime]:
    """Return the commit date of each branch's head, from a freshly fetched mirror.

    Raises:
        CannotRead: the history could not be fetched.
    """
    try:
        remote.sync(target, heads)
        commits = remote.commits(target, sorted(set(heads.values())))
    except RemoteError as error:
        raise CannotRead(error) from error
    return {
        branch: datetime.fromtimestamp(commits[head].committed_at, UTC)
        for branch, head in heads.items()
        if head in commits
    }
