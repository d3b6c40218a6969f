"""Bring commits, and single trees and files, from a remote into a locked mirror.

Everything is wanted by object id. A head that moved between listing and fetching, or that the
server has forgotten, costs that head only: the rest still comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from reconciliation.remotes.access import Access
from reconciliation.remotes.base import DiskFull, RemoteError, RemoteUnavailable
from reconciliation.remotes.failures import failure_in_words_of_git, hints_at_damage
from reconciliation.remotes.git import Git, run_git
from reconciliation.remotes.mirror import PARTIAL, MirrorWriter
from reconciliation.remotes.tidying import KEPT

_MAX_ROUNDS = 32
_ROUNDS_BEFORE_ASKING = 4
_ROUNDS_FOR_OBJECTS = 4
# As git upload-pack says it (v2, v0 server, v0 client), and as JGit does.
_NAMES_A_MISSING_OBJECT = re.compile(
    r"(?:not our ref|unadvertised object|want) ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b"
)


class MirrorSuspect(Exception):
    """A fetch failed over an object; `failure` is what to raise if the mirror proves sound."""

    def __init__(self, failure: RemoteError) -> None:
        super().__init__(failure.message)
        self.failure = failure


ReadHeads = Callable[[], Mapping[str, str]]


def fetch_heads(
    git: Git,
    writer: MirrorWriter,
    access: Access,
    wanted: Mapping[str, str],
    *,
    read_heads: ReadHeads,
) -> set[str]:
    """Fetch the history of `wanted` (branch name -> id); return the ids the server lacks.

    Where the server has forgotten an id because its branch moved on meanwhile, the branch's head
    of this moment is fetched instead: in the common case the id is among its ancestors.
    """
    lost = _fetch_commits(git, writer, access, set(wanted.values()), read_heads=read_heads)
    moved = {name for name, oid in wanted.items() if oid in lost}
    if moved:
        now = read_heads()
        successors = {now[name] for name in moved if name in now}
        _fetch_commits(git, writer, access, successors, read_heads=read_heads)
    return lost


def fetch_commits(
    git: Git,
    writer: MirrorWriter,
    access: Access,
    oids: Collection[str],
    *,
    read_heads: ReadHeads,
) -> set[str]:
    """Fetch the history of single commits; return the ids the server lacks."""
    return _fetch_commits(git, writer, access, set(oids), read_heads=read_heads)


def _fetch_commits(
    git: Git, writer: MirrorWriter, access: Access, oids: set[str], *, read_heads: ReadHeads
) -> set[str]:
    """Fetch all of `oids` the server gives; return the ones it does not."""
    pending, lost = set(oids), set[str]()
    for attempt in range(_MAX_ROUNDS):
        if not pending:
            return lost
        missing = _fetch(git, writer, access, [f"+{oid}:{KEPT}{oid}" for oid in sorted(pending)])
        if not missing:
            return lost
        if attempt >= _ROUNDS_BEFORE_ASKING:
            # Many are gone at once (a mass rebase): keep to what is a head at this moment.
            missing |= pending - set(read_heads().values())
        pending -= missing
        lost |= missing
    raise RemoteUnavailable("the remote's heads move faster than they can be fetched")


def fetch_objects(git: Git, writer: MirrorWriter, access: Access, oids: Collection[str]) -> None:
    """Fetch exactly these trees and files, without what lies below; those the server gives.

    Without negotiation, as when git itself fetches single objects: to a server that hears "I have
    this commit", its trees may count as had. A server that names what it lacks is asked again for
    the rest; one that gives no single objects names one after the other, and is left after a few.
    """
    alone = replace(access, config={**access.config, "fetch.negotiationAlgorithm": "noop"})
    pending = set(oids)
    for _ in range(_ROUNDS_FOR_OBJECTS):
        if not pending:
            return
        missing = _fetch(git, writer, alone, sorted(pending))
        if not missing:
            return
        pending -= missing


def _fetch(git: Git, writer: MirrorWriter, access: Access, refspecs: list[str]) -> set[str]:
    """Run one fetch; return the ids the server named as missing, empty when all came.

    `--filter=tree:0` leaves out whatever is not wanted by its own id, save the commits.
    """
    config = {**PARTIAL, **access.config, "remote.origin.url": access.url}
    call = replace(
        writer.call(stdin="".join(f"{refspec}\n" for refspec in refspecs).encode(), config=config),
        environment=access.environment,
        transports=(access.transport,),
        fetches=True,
    )
    result = run_git(
        git,
        "fetch",
        "--quiet",
        "--filter=tree:0",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-show-forced-updates",
        "--no-recurse-submodules",
        *access.arguments,
        "--stdin",
        "origin",
        call=call,
    )
    if result.status == 0:
        return set()
    wanted = {refspec.lstrip("+").partition(":")[0] for refspec in refspecs}
    missing = set(_NAMES_A_MISSING_OBJECT.findall(result.stderr)) & wanted
    if not missing:
        failure = failure_in_words_of_git(result.stderr, secrets=access.secrets)
        if hints_at_damage(result.stderr) and not isinstance(failure, DiskFull):
            raise MirrorSuspect(failure)
        raise failure
    return missing
