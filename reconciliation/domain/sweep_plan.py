"""Which repositories a sweep takes: by age, fair between tenants, within its budget; pure."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER_PERCENT = 10


@dataclass(frozen=True, slots=True)
class DueRepository:
    """A repository that is due, and since when."""

    repository_id: int
    tenant: str
    workspace: str
    repo: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """What a sweep takes, in canonical order, and how many it left for which reason."""

    taken: tuple[DueRepository, ...]
    skipped: tuple[tuple[str, int], ...]


def choose(due: Sequence[DueRepository], *, budget: int, per_tenant: int) -> Choice:
    """Take the longest-waiting repositories, tenant by tenant in turns, within both caps.

    In every turn the tenant whose repository waits longest goes first: were it the first by name,
    a full budget would never reach the last. Fairness decides who is taken; the canonical order
    decides the order of what was taken.
    """
    waiting: dict[str, list[DueRepository]] = {}
    for one in sorted(due, key=lambda one: (one.due_at, one.tenant, one.repo)):
        waiting.setdefault(one.tenant, []).append(one)
    taken: list[DueRepository] = []
    skipped: Counter[str] = Counter()
    for queue in waiting.values():
        if len(queue) > per_tenant:
            skipped["tenant_cap"] += len(queue) - per_tenant
            del queue[per_tenant:]
    while len(taken) < budget and any(waiting.values()):
        turn = sorted((queue[0].due_at, tenant) for tenant, queue in waiting.items() if queue)
        taken += [waiting[tenant].pop(0) for _, tenant in turn[: budget - len(taken)]]
    left = sum(len(queue) for queue in waiting.values())
    if left:
        skipped["budget"] = left
    ordered = sorted(taken, key=lambda one: (one.tenant, one.repo))
    return Choice(tuple(ordered), tuple(sorted(skipped.items())))


def next_due(name: str, *, swept_at: datetime, interval: timedelta) -> datetime:
    """Return when a repository is due again: the interval, moved by up to 10 % either way.

    The jitter is drawn from name and time, so that repositories connected together drift apart
    while a replay sees the same moments.
    """
    digest = hashlib.sha256(f"{name} {swept_at.isoformat()}".encode()).digest()
    draw = int.from_bytes(digest[:4], "big") / 0xFFFFFFFF * 2 - 1
    return swept_at + interval * (1 + draw * JITTER_PERCENT / 100)
