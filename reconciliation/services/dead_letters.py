"""Requeues or discards dead letters: the one place where a dead task is queued again.

A requeued task starts a new series of attempts; its run id, its place and its earlier attempts
stay as they are. Every act is in the trail: one entry for it, and one for each task.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.domain.caller import Caller
from audit.domain.entries import RECONCILER, Actor, Entry
from audit.services import append
from audit.setwise import database_time, in_set
from reconciliation.domain.dead_letters import MAX_REQUEUES, RECOVERED_BY_READING
from reconciliation.domain.retry import MAX_RETURNS
from reconciliation.models import ReconciliationTask, RepositoryWatch
from reconciliation.selectors.dead_letters import DeadLetterChoice, chosen_dead_letters
from reconciliation.services.host_calls import recount_failures
from reconciliation.services.wake import wake

MIN_REASON = 10
DEFAULT_CAP = 500
LARGEST_CAP = 5000
_TASK = ReconciliationTask._meta.db_table
_WATCH = RepositoryWatch._meta.db_table


class NotAllowed(Exception):
    """Dealing with dead letters needs the scope `tasks`."""


class ReasonTooShort(ValueError):
    """An act on dead letters needs a reason of at least 10 characters: others will read it."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What became of the dead letters chosen, or would become (`dry_run`).

    `refused` were requeued as often as people may; `left` is how many lie beyond the cap.
    """

    done: tuple[int, ...]
    refused: tuple[int, ...]
    left: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Moved:
    id: int
    tenant: str
    workspace: str
    repo: str
    branch: str
    task_kind: str
    correlation_id: str
    series: int
    error_class: str
    error_code: str
    sweep_id: int | None


def requeue_dead_letters(
    choice: DeadLetterChoice,
    *,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
    cap: int = DEFAULT_CAP,
    dry_run: bool = False,
) -> Dealt:
    """Requeue the dead letters that a choice means, at most `cap` of them.

    One that people requeued three times and that died again is refused: its cause needs mending.
    A dry run needs no reason.

    Raises:
        NotAllowed, ReasonTooShort: nothing was changed.
    """
    _check(caller, reason, dry_run=dry_run)
    with transaction.atomic():
        chosen, left = _choose(choice, caller, cap)
        able = [pk for pk, requeues in chosen if requeues < MAX_REQUEUES]
        refused = tuple(pk for pk, requeues in chosen if requeues >= MAX_REQUEUES)
        if dry_run or not able:
            return Dealt(() if not dry_run else tuple(able), refused, left, dry_run)
        among, params = in_set(connection, able, "bigint")
        moved = _requeue(
            f"id {among} AND requeues < {MAX_REQUEUES}",
            params,
            counting="requeues = requeues + 1, returns = 0",
            run_after=now,
        )
        wake(now)
        append(_entries("requeue", moved, choice, caller.actor, reason, correlation_id, now=now))
    return Dealt(tuple(one.id for one in moved), refused, left, dry_run)


def discard_dead_letters(
    choice: DeadLetterChoice,
    *,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
    cap: int = DEFAULT_CAP,
    dry_run: bool = False,
) -> Dealt:
    """Discard the dead letters that a choice means, at most `cap` of them; they stay readable.

    Raises:
        NotAllowed, ReasonTooShort: nothing was changed.
    """
    _check(caller, reason, dry_run=dry_run)
    with transaction.atomic():
        chosen, left = _choose(choice, caller, cap)
        ids = [pk for pk, _ in chosen]
        if dry_run or not ids:
            return Dealt(tuple(ids), (), left, dry_run)
        among, params = in_set(connection, ids, "bigint")
        moved = _move(f"id {among}", params, "state = 'discarded'")
        append(_entries("discard", moved, choice, caller.actor, reason, correlation_id, now=now))
    return Dealt(tuple(one.id for one in moved), (), left, dry_run)


def requeue_recovered(
    repository_ids: Sequence[int], *, now: datetime, codes: Sequence[str] = ()
) -> list[Entry]:
    """Requeue what died because these repositories could not be read, if that was so until now.

    For whoever just read them, before the watch is told of it and in the same transaction; returns
    the entries to append. One statement, and nothing for repositories that were readable all along.
    `codes` narrows it to what one of these causes killed: a host that is back mends no wrong URL.
    """
    if not repository_ids:
        return []
    of_cause: tuple[str, list[Any]] = ("", [])
    if codes:
        sql, code_params = in_set(connection, list(codes), "text")
        of_cause = (f" AND last_error_code {sql}", code_params)
    among, params = in_set(connection, sorted(set(repository_ids)), "bigint")
    moved = _requeue(
        f"returns < {MAX_RETURNS} AND last_error_code LIKE '{RECOVERED_BY_READING}%%'{of_cause[0]}"
        f" AND repository_id IN (SELECT repository_id FROM {_WATCH}"
        f" WHERE consecutive_failures > 0 AND repository_id {among})",
        [*of_cause[1], *params],
        counting="returns = returns + 1",
        run_after=now,
    )
    reason = "its repository can be read again"
    return [_entry("requeue", one, RECONCILER, reason, act="", now=now) for one in moved]


def requeue_redelivered(
    task_id: int, *, actor: Actor, act: str, reason: str, run_after: datetime, now: datetime
) -> bool:
    """Requeue a dead observation because its delivery came again; False when it is not dead.

    `act` is the correlation id of what brought the delivery again.
    """
    with transaction.atomic():
        moved = _requeue("id = %s", [task_id], counting="returns = 0", run_after=run_after)
        if moved:
            wake(run_after)
            append([_entry("requeue", one, actor, reason, act=act, now=now) for one in moved])
    return bool(moved)


def _requeue(
    condition: str, params: Sequence[Any], *, counting: str, run_after: datetime
) -> list[_Moved]:
    """Take the one arrow from dead to queued: a new series of attempts, due at `run_after`.

    Whoever asks differs in which tasks are meant, in what is counted, and in nothing else.
    """
    moment = "%s::timestamptz" if connection.vendor == "postgresql" else "%s"
    return _move(
        condition,
        [database_time(connection, run_after), *params],
        f"state = 'queued', series = series + 1, attempts = 0, completed_at = NULL,"
        f" {counting}, run_after = {moment}",
    )


_RETURNED = (
    "id, tenant, workspace, repo, branch, task_kind, correlation_id, series, last_error_class,"
    " last_error_code, sweep_id"
)


def _check(caller: Caller, reason: str, *, dry_run: bool) -> None:
    if not caller.has_scope("tasks"):
        raise NotAllowed("Requeueing and discarding dead letters needs the scope `tasks`.")
    if not dry_run and len(reason.strip()) < MIN_REASON:
        raise ReasonTooShort("Give a reason of at least 10 characters: others will read it.")


def _choose(
    choice: DeadLetterChoice, caller: Caller, cap: int
) -> tuple[list[tuple[int, int]], int]:
    rows = chosen_dead_letters(caller, choice)
    chosen = list(rows.values_list("pk", "requeues")[:cap])
    left = rows.count() - len(chosen) if len(chosen) == cap else 0
    return chosen, max(0, left)


def _move(condition: str, params: Sequence[Any], assignments: str) -> list[_Moved]:
    """Move dead letters by one guarded statement; return them in canonical order."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TASK} SET {assignments} WHERE state = 'dead' AND {condition}"
            f" RETURNING {_RETURNED}",
            list(params),
        )
        moved = [_Moved(*row) for row in cursor.fetchall()]
    recount_failures({one.sweep_id for one in moved if one.sweep_id is not None})
    return sorted(moved, key=lambda one: (one.tenant, one.repo, one.branch, one.task_kind, one.id))


def _entries(
    act: str,
    moved: Sequence[_Moved],
    choice: DeadLetterChoice,
    actor: Actor,
    reason: str,
    correlation_id: str,
    *,
    now: datetime,
) -> list[Entry]:
    """One entry per tenant for the act, under its own id; one per task, under the task's."""
    narrowed = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(choice).items()
        if value
    }
    acts = [
        Entry(
            tenant=tenant,
            at=now,
            actor=actor,
            action=f"dead_letters.{act}",
            object_kind="dead_letters",
            object_id=correlation_id,
            correlation_id=correlation_id,
            reason=reason.strip(),
            data={"choice": narrowed, "tasks": [one.id for one in moved if one.tenant == tenant]},
        )
        for tenant in sorted({one.tenant for one in moved})
    ]
    return acts + [
        _entry(act, one, actor, reason.strip(), act=correlation_id, now=now) for one in moved
    ]


def _entry(verb: str, one: _Moved, actor: Actor, reason: str, *, act: str, now: datetime) -> Entry:
    """Return the entry of one task, of one shape whoever asked; `act` is empty for no act."""
    return Entry(
        tenant=one.tenant,
        at=now,
        actor=actor,
        action=f"task.{verb}",
        object_kind="task",
        object_id=str(one.id),
        correlation_id=one.correlation_id,
        outcome="queued" if verb == "requeue" else "discarded",
        reason=reason,
        workspace=one.workspace,
        repo=one.repo,
        branch=one.branch,
        task_kind=one.task_kind,
        data={
            "act": act,
            "error_class": one.error_class,
            "error_code": one.error_code,
            "series": one.series,
        },
    )
