"""Reads stored evaluations below a policy layer, newest first; changes nothing."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction

from governance.domain.policy import matches
from governance.selectors.policy_places import PolicyPlace
from governance.selectors.policy_reach import reach
from reconciliation.models import Evaluation

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One evaluation as stored, and whose it is."""

    id: int
    task_id: int
    task_kind: str
    evaluated_at: datetime
    facts: str
    decision: str
    policy_digest: str
    rules_version: int
    repository_id: int
    branch: str


_FIELDS = (
    "id",
    "task_id",
    "task_kind",
    "evaluated_at",
    "facts",
    "decision",
    "policy_id",
    "rules_version",
    "task__repository_id",
    "task__branch",
)


def evaluations_below(
    place: PolicyPlace,
    *,
    kinds: Collection[str],
    since: datetime,
    until: datetime,
    most: int | None = None,
) -> Iterator[StoredEvaluation]:
    """Yield the newest evaluations of a span of time (both ends included) that a layer reaches.

    They stream: memory is that of one chunk. Take them from within `streaming()`.
    """
    rows = (
        Evaluation.objects.filter(
            reach(place, prefix="task__repository__"),
            task_kind__in=sorted(kinds),
            evaluated_at__gte=since,
            evaluated_at__lte=until,
        )
        .order_by("-evaluated_at", "-id")
        .values_list(*_FIELDS)
    )
    found: Iterator[StoredEvaluation]
    if not place.branch_pattern:
        found = (StoredEvaluation(*row) for row in rows[:most].iterator(chunk_size=CHUNK))
    else:
        # Only Python knows what a pattern matches, so only here can be counted what is taken.
        all_of_them = (StoredEvaluation(*row) for row in rows.iterator(chunk_size=CHUNK))
        matching = (one for one in all_of_them if matches(place.branch_pattern, one.branch))
        found = islice(matching, most)
    yield from found


def streaming() -> AbstractContextManager[Any]:
    """Return the context in which rows really stream.

    PostgreSQL streams inside a transaction only; on SQLite one would keep every writer waiting.
    """
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def evaluations_by_id(ids: Sequence[int]) -> dict[int, StoredEvaluation]:
    """Return a few evaluations by id."""
    rows = Evaluation.objects.filter(pk__in=ids).values_list(*_FIELDS)
    return {row[0]: StoredEvaluation(*row) for row in rows}
