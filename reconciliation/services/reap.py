"""Takes back the claims of workers that died or hung; the attempt was counted at the claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from audit.setwise import aware, database_time, rows_source
from reconciliation.domain.retry import POISON_AFTER_LOST_CLAIMS, ErrorClass, backoff
from reconciliation.models import AttemptOutcome, ReconciliationTask, TaskAttempt
from reconciliation.services.attempts import EndedAttempt, record_attempts
from reconciliation.services.claiming import CLAIM_LOST
from reconciliation.services.wake import wake_at

_TASK = ReconciliationTask._meta.db_table
_ATTEMPT = TaskAttempt._meta.db_table
_LOST = "The worker died or hung: its claim ran out."


@dataclass(frozen=True, slots=True)
class _Lost:
    id: int
    epoch: int
    series: int
    attempts: int
    max_attempts: int
    worker: str
    key: str
    tenant: str
    workspace: str
    repo: str
    branch: str
    task_kind: str
    correlation_id: str
    lost_before: int
    started_at: datetime

    @property
    def is_poison(self) -> bool:
        """It took its worker down before: once more and it would do so for ever."""
        return self.lost_before + 1 > POISON_AFTER_LOST_CLAIMS

    @property
    def is_dead(self) -> bool:
        return self.is_poison or self.attempts >= self.max_attempts

    @property
    def error_class(self) -> ErrorClass:
        return ErrorClass.POISON if self.is_poison else ErrorClass.TRANSIENT

    def run_after(self, now: datetime) -> datetime:
        """When it is tried again; the same wait for the same attempt, whoever asks."""
        return now if self.is_dead else now + backoff(self.key, self.attempts)


def reap_lost_claims(*, now: datetime, limit: int = 1000) -> int:
    """Return expired claims to the queue with backoff, or to the dead letters; return how many.

    A task whose worker died under it three times in one series is poison: dead at once. Safe to
    run in many workers: each claim is taken back once, by the one whose guarded update wins.
    """
    with transaction.atomic():
        lost = _expired(now, limit)
        if not lost:
            return 0
        taken = _take_back(lost, now=now)
        reaped = [one for one in lost if one.id in taken]
        _record(reaped, now=now)
        wake_at([one.run_after(now) for one in reaped if not one.is_dead])
        append([_entry(one, now=now) for one in reaped])
    return len(reaped)


def _expired(now: datetime, limit: int) -> list[_Lost]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, claim_epoch, series, attempts, max_attempts, claimed_by, idempotency_key,"
            " tenant, workspace, repo, branch, task_kind, correlation_id,"
            f" (SELECT COUNT(*) FROM {_ATTEMPT} a WHERE a.task_id = t.id"
            " AND a.series = t.series AND a.outcome = 'lost'), started_at"
            f" FROM {_TASK} t WHERE state = 'running' AND claim_expires_at <= %s"
            f" ORDER BY id LIMIT %s {_LOCK[connection.vendor]}",
            [database_time(connection, now), limit],
        )
        return [_Lost(*(*row[:-1], aware(row[-1]))) for row in cursor.fetchall()]


# Two reapers share the work; neither waits for a worker that is just ending its claim.
_LOCK = {"postgresql": "FOR UPDATE OF t SKIP LOCKED", "sqlite": ""}


def _take_back(lost: Sequence[_Lost], *, now: datetime) -> set[int]:
    columns = {
        "id": "bigint",
        "epoch": "bigint",
        "state": "text",
        "run_after": "timestamptz",
        "completed_at": "timestamptz",
        "error_class": "text",
    }
    rows: list[tuple[Any, ...]] = [
        (
            one.id,
            one.epoch,
            "dead" if one.is_dead else "queued",
            one.run_after(now),
            now if one.is_dead else None,
            one.error_class.value,
        )
        for one in lost
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE_SET} FROM {source} AS v WHERE {_TASK}.id = v.id"
            f" AND {_TASK}.claim_epoch = v.epoch AND {_TASK}.state = 'running'"
            f" RETURNING {_TASK}.id",
            params,
        )
        return {row[0] for row in cursor.fetchall()}


_TABLE_SET = (
    f"{_TASK} SET state = v.state, run_after = v.run_after, completed_at = v.completed_at,"
    " claimed_by = '', claim_expires_at = NULL, last_error_class = v.error_class,"
    f" last_error_code = '{CLAIM_LOST}', last_error = '{_LOST}'"
)


def _record(reaped: Sequence[_Lost], *, now: datetime) -> None:
    record_attempts(
        [
            EndedAttempt(
                task_id=one.id,
                series=one.series,
                number=one.attempts,
                claim_epoch=one.epoch,
                worker=one.worker,
                started_at=one.started_at,
                ended_at=now,
                outcome=AttemptOutcome.LOST,
                error_class=one.error_class,
                error_code=CLAIM_LOST,
                error=_LOST,
            )
            for one in reaped
        ]
    )


def _entry(one: _Lost, *, now: datetime) -> Entry:
    return Entry(
        tenant=one.tenant,
        at=now,
        actor=RECONCILER,
        action="task.dead" if one.is_dead else "task.claim_lost",
        object_kind="task",
        object_id=str(one.id),
        correlation_id=one.correlation_id,
        outcome=one.error_class.value,
        reason=_LOST,
        workspace=one.workspace,
        repo=one.repo,
        branch=one.branch,
        task_kind=one.task_kind,
        data={"attempts": one.attempts, "worker": one.worker},
    )
