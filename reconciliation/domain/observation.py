"""What moved between the heads we knew and the heads the remote has; pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciliation.domain.codec import later
from reconciliation.domain.facts import Place, Push

PUSHES_KEPT = 50
"""How many pushes of a branch are kept, the newest: more than a burst between two looks has."""


@dataclass(frozen=True, slots=True)
class AnnouncedMove:
    """A branch move as a webhook announced it; `before` None also when the host does not say."""

    branch: str
    before: str | None
    after: str | None
    pusher: str
    announced_at: datetime

    @property
    def push(self) -> Push:
        """The push that was announced."""
        return Push(self.pusher, self.before, self.after, self.announced_at)


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
    pushes: tuple[Push, ...] = later(())
    """Every announced push that led from the one head to the other, in order of receipt."""


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
    late_pushes: tuple[AnnouncedMove, ...] = later(())
    """All announced pushes that led to heads which were seen before they came."""
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
    calls = list(announced)
    newest = _newest_by_head(calls)
    pushes = _by_branch(calls)
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
                pushes=_pushes_since(before, pushes.get(branch, ())),
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


def late_pushes(
    known: Mapping[str, KnownHead],
    observed: Mapping[str, str],
    *,
    announced: Iterable[AnnouncedMove],
) -> tuple[AnnouncedMove, ...]:
    """Return the announced pushes that led to heads which we saw before they came.

    All of a branch that is still there, once its head is announced; of one that moved on since,
    those that led to the head before. In order of receipt.
    """
    calls = list(announced)
    still_there = {call.branch for call in late_announcements(known, observed, announced=calls)}
    found = []
    for branch, some in _by_branch(calls).items():
        before = known.get(branch)
        if branch in still_there:
            found += some
        elif (
            before is not None
            and before.announced_by != "webhook"
            and before.head_changes > 0
            and before.head != observed.get(branch)
        ):
            found += [some[place] for place in sorted(_leading_to(before.head, some))]
    return tuple(sorted(found, key=lambda call: (call.announced_at, call.branch)))


def added_pushes(known: Iterable[Push], new: Iterable[Push]) -> tuple[Push, ...]:
    """Return the pushes of a branch with new ones added, oldest first, the newest 50."""
    found = sorted(
        {*known, *new}, key=lambda one: (one.at, one.before or "", one.after or "", one.pusher)
    )
    return tuple(found)[-PUSHES_KEPT:]


def named_pushes(
    known: Iterable[Push], late: Iterable[Push], *, seen_at: datetime
) -> tuple[Push, ...]:
    """Return the pushes of a branch after its head, which nobody had announced, was announced.

    `seen_at` is when that head was seen: what was told of later was done by then. The push by
    nobody knows whom is replaced; one that is known is not added again.
    """
    told = {replace(push, at=min(push.at, seen_at)) for push in late}
    named = {push.after for push in told if push.pusher}
    return added_pushes((push for push in known if push.pusher or push.after not in named), told)


def _by_branch(announced: Iterable[AnnouncedMove]) -> dict[str, list[AnnouncedMove]]:
    """Return the announcements of each branch by time, and by receipt where times tie."""
    found: dict[str, list[AnnouncedMove]] = defaultdict(list)
    for call in sorted(announced, key=lambda call: call.announced_at):
        found[call.branch].append(call)
    return found


def _leading_to(head: str | None, calls: Sequence[AnnouncedMove]) -> set[int]:
    """Return the places of the pushes of one branch that led to a head.

    Deliveries come late and in any order: the chain is followed back, from push to push before it.
    """
    found = {place for place, call in enumerate(calls) if call.after == head}
    frontier = sorted(found)
    while frontier:
        place = frontier.pop()
        before = calls[place].before
        leading = {
            earlier
            for earlier in range(place)
            if before is not None and calls[earlier].after == before
        }
        frontier += sorted(leading - found)
        found |= leading
    return found


def _pushes_since(head: str | None, calls: Sequence[AnnouncedMove]) -> tuple[Push, ...]:
    """Return the pushes of one branch but for those that led to the head that was known already."""
    older = _leading_to(head, calls)
    kept = tuple(call.push for place, call in enumerate(calls) if place not in older)
    return kept[-PUSHES_KEPT:]


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
