"""Observes a remote that is not governed yet: its heads and their commits' dates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from reconciliation.remotes.base import Credential, NewRemote, RemoteError, RemoteTarget
from reconciliation.services.observe.activity import dates_of_commits


class CannotRead(Exception):
    """The remote could not be read; the message says why and what to do."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__(error.message)
        self.code = error.code


@dataclass(frozen=True, slots=True)
class FirstLook:
    """All heads of a remote, and when they were committed as far as that is known.

    `history_problem` says why no commit could be read, if so; `mirror_key` names what was read.
    """

    clone_url: str
    credential: tuple[str, str] | None
    heads: Mapping[str, str]
    digest: str
    default_branch: str
    committed_at: Mapping[str, datetime]
    history_problem: str
    mirror_key: str


def first_look(
    clone_url: str,
    *,
    place: str,
    credential: tuple[str, str] | None,
    remote: NewRemote,
    now: datetime,
) -> FirstLook:
    """Read the heads of a remote and their commits; nothing of it is stored yet.

    `place` is where it will be governed, such as `acme/api`: another attempt for the same place
    goes on with the mirror of the one before.

    A remote whose heads can be read but whose history cannot is no failure: ancestry and activity
    are unknown until it can.

    Raises:
        CannotRead: refused, unreachable, or not a git repository.
    """
    key = f"connecting-{sha256(f'{place} {clone_url}'.encode()).hexdigest()[:32]}"
    target = RemoteTarget(
        clone_url=clone_url,
        mirror_key=key,
        credential=Credential(*credential) if credential else None,
    )
    try:
        answer = remote.read_heads(target)
    except RemoteError as error:
        raise CannotRead(error) from error
    heads = dict(answer.heads)
    dates, problem = {}, ""
    try:
        dates = dates_of_commits(remote, target, heads, now=now)
    except RemoteError as error:
        problem = error.message
    return FirstLook(
        clone_url=clone_url,
        credential=credential,
        heads=heads,
        digest=answer.digest,
        default_branch=answer.default_branch or "",
        committed_at=dates,
        history_problem=problem,
        mirror_key=key,
    )
