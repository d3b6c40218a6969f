"""Counts what is counted for ever: folds new attempts and deliveries into stored totals.

Rows are counted in by id, once, and the totals survive restarts and pruning. A count over a million
rows at every scrape would be the alternative; one kept in memory would differ between processes,
and Prometheus takes every step down for a restart.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from audit.setwise import insert_rows
from reconciliation.domain.measures import (
    EndedAttempt,
    Totals,
    added,
    totals_of_attempts,
    totals_of_deliveries,
)
from reconciliation.models import MeasuredTotal, MeasuredUpTo, TaskAttempt, WebhookDelivery

_TOTAL = MeasuredTotal._meta.db_table
_UP_TO = MeasuredUpTo._meta.db_table
_CHUNK = 5_000
# A first scrape over years of rows must not take minutes: the next one goes on where it ended.
_MOST_ROWS = 50_000
# Ids are handed out before they are committed: a younger row may still appear below an older one.
_SETTLED = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Append-only rows: how to read them, and what they add to the totals.

    The rows are tuples of an id, a moment, and the arguments of `count`.
    """

    name: str
    rows: Callable[[], QuerySet[Any, Any]]
    count: Callable[[Sequence[tuple[Any, ...]]], Totals]


def _attempts() -> QuerySet[Any, Any]:
    return TaskAttempt.objects.values_list(
        "id",
        "ended_at",
        "task__task_kind",
        "task__tenant",
        "task__repo",
        "task__subject",
        Coalesce(F("task__parent__origin"), F("task__origin")),
        "outcome",
        "task__announced_at",
        "ended_at",
    )


def _count_attempts(rows: Sequence[tuple[Any, ...]]) -> Totals:
    return totals_of_attempts(EndedAttempt(*row[2:]) for row in rows)


def _deliveries() -> QuerySet[Any, Any]:
    return WebhookDelivery.objects.values_list("id", "received_at", "source__host_kind", "outcome")


def _count_deliveries(rows: Sequence[tuple[Any, ...]]) -> Totals:
    return totals_of_deliveries((row[2], row[3]) for row in rows)


_STREAMS = (
    _Stream("attempts", _attempts, _count_attempts),
    _Stream("deliveries", _deliveries, _count_deliveries),
)


@transaction.atomic
def measured(measures: Sequence[str], *, now: datetime) -> Totals:
    """Return the totals of some measures up to now, counting in what is new.

    Old rows are folded into the stored totals in chunks; those of the last 30 seconds are added to
    the answer only. One caller at a time: the answers of several processes never step back. With
    a long backlog each call counts 50,000 rows further.
    """
    young: list[Totals] = []
    places = _locked_places()
    for stream in _STREAMS:
        looked_at = 0
        for settled, fresh in _chunks(stream, places[stream.name], before=now - _SETTLED):
            _fold(stream, settled)
            young.append(stream.count(fresh))
            looked_at += len(settled)
            if looked_at >= _MOST_ROWS and not fresh:
                break
    wanted = set(measures)
    fresh_totals = {key: value for key, value in added(*young).items() if key[0] in wanted}
    return added(_stored(measures), fresh_totals)


def _chunks(
    stream: _Stream, after: int, *, before: datetime
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield new rows by chunks, as those to fold and those too young: from the first young one."""
    is_settled = True
    while True:
        chunk = list(stream.rows().filter(id__gt=after).order_by("id")[:_CHUNK])
        if not chunk:
            return
        settled: list[Any] = []
        fresh: list[Any] = []
        for row in chunk:
            is_settled = is_settled and row[1] < before
            (settled if is_settled else fresh).append(row)
        yield settled, fresh
        after = chunk[-1][0]


def _locked_places() -> dict[str, int]:
    names = [stream.name for stream in _STREAMS]
    insert_rows(
        connection,
        _UP_TO,
        {"stream": "text", "last_id": "bigint"},
        [(name, 0) for name in names],
        on_conflict="(stream) DO NOTHING",
    )
    rows = MeasuredUpTo.objects.select_for_update().order_by("stream")
    return dict(rows.values_list("stream", "last_id"))


def _fold(stream: _Stream, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    totals = stream.count(rows)
    insert_rows(
        connection,
        _TOTAL,
        {"measure": "text", "labels": "text", "value": "double precision"},
        [
            (measure, json.dumps(labels, ensure_ascii=False), value)
            for (measure, labels), value in sorted(totals.items())
        ],
        on_conflict=f"(measure, labels) DO UPDATE SET value = {_TOTAL}.value + excluded.value",
    )
    MeasuredUpTo.objects.filter(stream=stream.name).update(last_id=rows[-1][0])


def _stored(measures: Sequence[str]) -> Totals:
    rows = MeasuredTotal.objects.filter(measure__in=measures).order_by("measure", "labels")
    return {
        (measure, tuple(json.loads(labels))): value
        for measure, labels, value in rows.values_list("measure", "labels", "value")
    }
