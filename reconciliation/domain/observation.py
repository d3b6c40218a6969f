"""What moved between the heads we knew and the heads the remote has; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciliation.domain.facts import Place


@dataclass(frozen=True, slots=True)
class AnnouncedMove:
    """A branch move as a webhook announced it; `before` None also when the host does not say."""

    branch: str
    before: str | None
    after: str | None
    pusher: str
    announced_at: datetime


@dataclass(frozen=True, slots=True)
class HeadMove:
    """A branch whose remote head is no longer the one we knew.

    `ordinal` counts the moves of the branch. `announced_by` is webhook when an announcement named
    this very head, else what asked for the observation: sweep or manual.
    """

    branch: str
    before: str | None
    after: str | None
    ordinal: int
    announced_by: str
    pusher: str
    announced_at: datetime | None


@dataclass(frozen=True, slots=True)
class ObservationFacts:
    """One reading of a repository's heads and what differs from what we knew."""

    place: Place
    default_branch: str
    heads_count: int
    heads_digest: str
    previous_digest: str
    moves: tuple[HeadMove, ...]
    late_announcements: tuple[AnnouncedMove, ...]
    """Announcements of heads that an earlier observation saw before their webhook came."""
    is_gone: bool = False
    """The host announced that it deleted the repository, and no longer lets it be read."""


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The head we last saw of a branch (None: it was gone) and how often it had moved."""

    head: str | None
    head_changes: int
    pusher: str
    announced_by: str


def moves_between(
    known: Mapping[str, KnownHead],
    observed: Mapping[str, str],
    *,
    announced: Iterable[AnnouncedMove],
    unannounced_are: str,
) -> tuple[HeadMove, ...]:
    """Return every branch whose head differs, sorted by name in code-point order.

    A move is announced by a webhook when an announcement for its branch named the head that is
    there now, in whatever order they came. `unannounced_are` is `sweep` or `manual`.
    """
    newest = _newest_by_head(announced)
    moves = []
    for branch in sorted(known.keys() | observed.keys()):
        before = known[branch].head if branch in known else None
        after = observed.get(branch)
        if before == after:
            continue
        call = newest.get((branch, after))
        moves.append(
            HeadMove(
                branch=branch,
                before=before,
                after=after,
                ordinal=(known[branch].head_changes if branch in known else 0) + 1,
                announced_by="webhook" if call is not None else unannounced_are,
                pusher=call.pusher if call is not None else "",
                announced_at=call.announced_at if call is not None else None,
            )
        )
    return tuple(moves)


def late_announcements(
    known: Mapping[str, KnownHead],
    observed: Mapping[str, str],
    *,
    announced: Iterable[AnnouncedMove],
) -> tuple[AnnouncedMove, ...]:
    """Return announcements of a head that we saw before they came, and had no pusher for."""
    newest = _newest_by_head(announced)
    late = []
    for branch in sorted({branch for branch, _ in newest} & known.keys()):
        before, call = known[branch], newest.get((branch, observed.get(branch)))
        seen_unannounced = before.announced_by != "webhook" and before.head_changes > 0
        if call is not None and call.after == before.head and seen_unannounced:
            late.append(call)
    return tuple(late)


def _newest_by_head(
    announced: Iterable[AnnouncedMove],
) -> dict[tuple[str, str | None], AnnouncedMove]:
    newest: dict[tuple[str, str | None], AnnouncedMove] = {}
    for call in announced:
        # Later deliveries come later in the iteration; at equal times the last one counts.
        key = (call.branch, call.after)
        if key not in newest or newest[key].announced_at <= call.announced_at:
            newest[key] = call
    return newest
