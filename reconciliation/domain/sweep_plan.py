"""Which repositories a sweep takes: by age, fair between tenants, within its budgets; pure."""

import hashlib
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

JITTER_PERCENT = 10
TENANT_CAP, HOST_BUDGET, BUDGET, WAITING = "tenant_cap", "host_budget", "budget", "waiting"

LEAST_DERIVED, MOST_DERIVED = 100, 5_000
"""Bounds of a derived budget: small installations catch up at once, no worklist grows beyond 1 MB.

5,000 a minute are 300,000 repositories an hour.
"""
_HEADROOM = Fraction(5, 4)
"""For jitter, and for what is made up for after downtime."""


@dataclass(frozen=True, slots=True)
class DueRepository:
    """A repository that is due, since when, and on which host it lies."""

    repository_id: int
    tenant: str
    workspace: str
    repo: str
    due_at: datetime
    host: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a sweep takes, in canonical order, and how many it left for which reason."""

    taken: tuple[DueRepository, ...]
    skipped: tuple[tuple[str, int], ...]


def derived_budget(repositories: int, *, tick: timedelta, interval: timedelta) -> int:
    """Return how many repositories a sweep takes, so that each has its turn in every interval."""
    second = timedelta(seconds=1)
    ticks = Fraction(max(interval, second) // second, max(tick, second) // second)
    needed = math.ceil(repositories / ticks * _HEADROOM)
    return max(LEAST_DERIVED, min(MOST_DERIVED, needed))


def choose(
    due: Sequence[DueRepository],
    *,
    budget: int,
    per_tenant: int,
    per_host: Mapping[str, int] | None = None,
) -> Choice:
    """Take the longest-waiting repositories, tenant by tenant in turns, within all three budgets.

    In every turn the tenant whose repository waits longest goes first: were it the first by name,
    a full budget would never reach the last. A host not named in `per_host` has no budget of its
    own; a repository whose host has no room is passed over, and its tenant's next one has the turn.
    Fairness decides who is taken; the canonical order decides the order of what was taken.

    `skipped` says why each was left: its host had no room (`host_budget`), it lay beyond what its
    tenant may have (`tenant_cap`), or the sweep was full (`budget`).
    """
    room = dict(per_host or {})
    waiting: dict[str, deque[DueRepository]] = {}
    for one in sorted(due, key=lambda one: (one.due_at, one.tenant, one.repo)):
        waiting.setdefault(one.tenant, deque()).append(one)
    taken: list[DueRepository] = []
    shares: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    while len(taken) < budget:
        for queue in waiting.values():
            _pass_over_full_hosts(queue, room, skipped)
        turn = sorted(
            (queue[0].due_at, tenant)
            for tenant, queue in waiting.items()
            if queue and shares[tenant] < per_tenant
        )
        if not turn:
            break
        for _, tenant in turn[: budget - len(taken)]:
            _pass_over_full_hosts(waiting[tenant], room, skipped)
            if not waiting[tenant]:
                continue
            one = waiting[tenant].popleft()
            taken.append(one)
            shares[tenant] += 1
            if one.host in room:
                room[one.host] -= 1
    for tenant, queue in waiting.items():
        skipped.update(_why_left(queue, room, share_left=per_tenant - shares[tenant]))
    ordered = sorted(taken, key=lambda one: (one.tenant, one.repo))
    return Choice(tuple(ordered), tuple(sorted((+skipped).items())))


def also_skipped(choice: Choice, reasons: Mapping[str, int]) -> Choice:
    """Return the choice with more that was left, counted without being looked at one by one."""
    skipped = Counter(dict(choice.skipped))
    skipped.update({reason: number for reason, number in reasons.items() if number > 0})
    return Choice(choice.taken, tuple(sorted(skipped.items())))


def next_due(name: str, *, swept_at: datetime, interval: timedelta) -> datetime:
    """Return when a repository is due again: the interval, moved by up to 10 % either way.

    The jitter is drawn from name and time, so that repositories connected together drift apart
    while a replay sees the same moments.
    """
    digest = hashlib.sha256(f"{name} {swept_at.isoformat()}".encode()).digest()
    draw = int.from_bytes(digest[:4], "big") / 0xFFFFFFFF * 2 - 1
    return swept_at + interval * (1 + draw * JITTER_PERCENT / 100)


def _pass_over_full_hosts(
    queue: deque[DueRepository], room: Mapping[str, int], skipped: Counter[str]
) -> None:
    while queue and room.get(queue[0].host, 1) <= 0:
        queue.popleft()
        skipped[HOST_BUDGET] += 1


def _why_left(
    queue: Sequence[DueRepository], room: Mapping[str, int], *, share_left: int
) -> Counter[str]:
    """Return what kept each of a tenant's from being taken: what lay beyond its cap, the cap."""
    on_full_hosts = sum(room.get(one.host, 1) <= 0 for one in queue)
    others = len(queue) - on_full_hosts
    for_want_of_budget = min(others, max(0, share_left))
    return Counter(
        {
            HOST_BUDGET: on_full_hosts,
            BUDGET: for_want_of_budget,
            TENANT_CAP: others - for_want_of_budget,
        }
    )
