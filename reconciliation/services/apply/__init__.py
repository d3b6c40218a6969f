"""Apply: stores decisions and their effects in one transaction; decides nothing.

Order: circuits, end the claims (what is no longer ours is dropped), attempts, evaluations, effects
by kind, findings, follow-up tasks, wake-up, audit. The number of statements does not grow with the
batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from django.db import connection, transaction

from audit.services import append
from audit.setwise import insert_statement, run_together
from governance.services.observations import record_found_activity
from governance.services.policies import PolicyResolver, remembering
from governance.services.run_marks import count_runs
from governance.services.snapshots import Advance, advance_snapshots
from reconciliation.domain.findings import Decision
from reconciliation.domain.packing import packed
from reconciliation.evaluators import RULES_VERSIONS
from reconciliation.models import AttemptOutcome, Evaluation, TaskKind, TaskState
from reconciliation.services.alerts import perform_alert_acts
from reconciliation.services.apply.endings import (
    Ending,
    bounded,
    end_claims,
    ending_of_trouble,
    sweeps_to_recount,
)
from reconciliation.services.apply.findings import record_findings
from reconciliation.services.apply.leases import apply_leases
from reconciliation.services.apply.observed import apply_observations
from reconciliation.services.apply.troubles import record_troubles
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.circuits import judge
from reconciliation.services.host_calls import recount_failures
from reconciliation.services.observe.values import Outdated, Trouble
from reconciliation.services.queue import ClaimedTask, enqueue
from reconciliation.services.wake import wake_at

__all__ = ["Applied", "Worked", "apply"]

_REREAD = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch, in tasks."""

    completed: int = 0
    deferred: int = 0
    retried: int = 0
    dead: int = 0
    lost: int = 0
    given_back: int = 0
    held: int = 0

    @classmethod
    def total(cls, parts: Iterable["Applied"]) -> "Applied":
        """Add up what became of several batches."""
        found = list(parts)
        return cls(*(sum(getattr(one, name.name) for one in found) for name in fields(cls)))


def apply(
    worked: Sequence[Worked],
    troubles: Sequence[Trouble],
    outdated: Sequence[Outdated],
    *,
    policies: PolicyResolver,
    worker: str,
    now: datetime,
    ended_at: datetime | None = None,
) -> Applied:
    """Store the outcome of a batch; either all of it or, on an error, nothing.

    `now` is when the batch was decided: what was read is no newer. `ended_at` is when the work on
    it ended; waits for a retry count from there.
    """
    ended_at = ended_at or now
    endings = [_ending(one) for one in worked]
    endings += [_ending_of_outdated(one, now=ended_at) for one in outdated]
    with transaction.atomic():
        judged = judge(_answered(worked), troubles, now=ended_at)
        endings += [
            ending_of_trouble(trouble, now=ended_at, held=judged.held.get(trouble.task.id))
            for trouble in troubles
        ]
        endings = [bounded(one, now=ended_at) for one in endings]
        ours = end_claims(endings, worker=worker, now=ended_at)
        mine = [one for one in worked if one.task.id in ours]
        effects = Effects(entries=judged.entries)
        paired = _record_evaluations(mine, policies)
        overtaken = _apply_by_kind(mine, policies, effects, now=now)
        standing = [(one, pk) for one, pk in paired if one.task.id not in overtaken]
        record_findings(standing, effects, now=now)
        record_troubles(
            [one for one in troubles if one.task.id in ours],
            [end for end in endings if end.task.id in ours],
            effects,
            now=now,
        )
        recount_failures(sweeps_to_recount(endings, ours))
        for one in outdated:
            if one.task.id in ours:
                effects.follow_up(
                    one.task,
                    branch="",
                    task_kind=TaskKind.OBSERVE_REFS,
                    about=f"outdated {one.task.branch} {one.head or '-'}",
                    run_after=now,
                )
        enqueue(effects.planned, now=now, revive=True)
        wake_at(_wake_ups(effects, [end for end in endings if end.task.id in ours], now=now))
        append([*_decision_entries(mine), *effects.entries])
    return _count(endings, ours)


def _apply_by_kind(
    mine: Sequence[Worked], policies: PolicyResolver, effects: Effects, *, now: datetime
) -> set[int]:
    overtaken: set[int] = set()
    by_kind: dict[str, list[Worked]] = {}
    for one in mine:
        by_kind.setdefault(one.task.task_kind, []).append(one)
    if observed := by_kind.get(TaskKind.OBSERVE_REFS):
        apply_observations(observed, policies, effects, now=now)
    if drifts := by_kind.get(TaskKind.HEAD_DRIFT):
        _advance(drifts, effects, now=now)
    if stale := by_kind.get(TaskKind.STALE_BRANCH):
        record_found_activity(_found_activity(stale))
    if leases := by_kind.get(TaskKind.LEASE_RENEWAL):
        overtaken = apply_leases(leases, effects, now=now)
    for one in by_kind.get(TaskKind.DIVERGENCE_ALERT, ()):
        ladder = one.gathered.policy.alerts.escalation
        effects.entries += perform_alert_acts(
            one.decision.alert_acts,
            correlation_id=one.task.correlation_id,
            ladder=[(step.role, step.after_seconds) for step in ladder],
            entry=_decision_entries([one])[0],
            now=now,
        )
    return overtaken


def _advance(drifts: Sequence[Worked], effects: Effects, *, now: datetime) -> None:
    wanted = {
        (one.task.repository_id, one.task.branch): one
        for one in drifts
        if one.decision.advance_to is not None
    }
    moved = advance_snapshots(
        [
            Advance(
                repository_id=key[0],
                branch=key[1],
                expected_governed=one.gathered.facts.governed_head,
                expected_observed=one.decision.advance_to or "",
                by=_advanced_by(one.decision),
                branch_class=one.gathered.facts.class_now or one.gathered.facts.branch_class,
            )
            for key, one in sorted(wanted.items())
        ],
        now=now,
    )
    count_runs(
        {(key[0], run_id) for key in moved for run_id in wanted[key].decision.advance_run_ids},
        now=now,
    )
    for key in sorted(moved):
        one = wanted[key]
        effects.entries.append(
            entry_of(
                one.task,
                now=now,
                action="snapshot.advance",
                object_kind="branch",
                object_id=f"{key[0]}:{key[1]}"[:200],
                policy_version=one.gathered.policy.digest,
                reason=one.decision.reason,
                data={
                    "from": one.gathered.facts.governed_head,
                    "to": one.decision.advance_to,
                    "runs": list(one.decision.advance_run_ids),
                    **({"by": one.decision.advance_by} if one.decision.advance_by else {}),
                },
            )
        )


def _found_activity(stale: Sequence[Worked]) -> list[tuple[int, str, str, datetime]]:
    return [
        (one.task.repository_id, one.task.branch, one.gathered.facts.observed_head, found)
        for one in stale
        if (found := one.gathered.found_activity) is not None
    ]


def _advanced_by(decision: Decision) -> str:
    if decision.advance_by:
        return decision.advance_by[:200]
    runs = decision.advance_run_ids
    return f"run:{runs[-1]}" if runs else "first observation"


def _record_evaluations(
    mine: Sequence[Worked], policies: PolicyResolver
) -> list[tuple[Worked, int]]:
    if not mine:
        return []
    now = mine[0].now
    used = [one.gathered.policy for one in mine]
    remembered = remembering(used, documents=policies.documents, now=now)
    decided = insert_statement(
        connection,
        Evaluation._meta.db_table,
        {
            "task_id": "bigint",
            "task_kind": "text",
            "evaluated_at": "timestamptz",
            "facts": "text",
            "policy_id": "text",
            "decision": "text",
            "decision_digest": "text",
            "rules_version": "smallint",
        },
        [
            (
                one.task.id,
                one.task.task_kind,
                one.now,
                packed(one.facts_text),
                one.gathered.policy.digest,
                packed(one.decision_text),
                one.decision_digest,
                RULES_VERSIONS[one.task.task_kind],
            )
            for one in mine
        ],
        returning="task_id, id",
    )
    ids: Mapping[int, int] = dict(run_together(connection, remembered, decided))
    return [(one, ids[one.task.id]) for one in mine]


def _decision_entries(mine: Sequence[Worked]) -> list:  # type: ignore[type-arg]
    return [
        entry_of(
            one.task,
            now=one.now,
            action=f"decision.{one.task.task_kind}",
            object_kind="task",
            object_id=str(one.task.id),
            outcome=one.decision.decision,
            reason=one.decision.reason,
            policy_version=one.gathered.policy.digest,
            data={
                "class": one.decision.stable_class,
                "decision_digest": one.decision_digest,
                "rules_version": RULES_VERSIONS[one.task.task_kind],
                "rules": sorted(
                    {hit.rule for draft in one.decision.findings for hit in draft.rule_hits}
                ),
                "severity": one.decision.severity,
            },
        )
        for one in mine
    ]


def _answered(worked: Sequence[Worked]) -> list[ClaimedTask]:
    """Return the tasks whose host was asked just now, and answered."""
    return [
        one.task
        for one in worked
        if one.task.task_kind == TaskKind.OBSERVE_REFS and not one.gathered.facts.is_gone
    ]


def _ending(one: Worked) -> Ending:
    decision = one.decision
    until = decision.defer_until
    if until is not None and until > one.now:
        return Ending(
            one.task,
            TaskState.QUEUED,
            AttemptOutcome.DEFERRED,
            until,
            refund=True,
            policy_decision=decision.decision,
        )
    return Ending(
        one.task,
        TaskState.COMPLETED,
        AttemptOutcome.COMPLETED,
        one.now,
        policy_decision=decision.decision,
    )


def _ending_of_outdated(one: Outdated, *, now: datetime) -> Ending:
    return Ending(one.task, TaskState.QUEUED, AttemptOutcome.DEFERRED, now + _REREAD, refund=True)


def _wake_ups(effects: Effects, endings: Sequence[Ending], *, now: datetime) -> set[datetime]:
    """Return when drains are needed: the worker goes on by itself with what is due now."""
    later = {planned.run_after for planned in effects.planned if planned.run_after > now}
    return later | {end.run_after for end in endings if end.state == TaskState.QUEUED}


def _count(endings: Sequence[Ending], ours: set[int]) -> Applied:
    outcomes = [end.outcome for end in endings if end.task.id in ours]
    return Applied(
        completed=outcomes.count(AttemptOutcome.COMPLETED),
        deferred=outcomes.count(AttemptOutcome.DEFERRED),
        retried=outcomes.count(AttemptOutcome.RETRY),
        dead=outcomes.count(AttemptOutcome.DEAD),
        lost=len(endings) - len(outcomes),
        given_back=outcomes.count(AttemptOutcome.GIVEN_BACK),
        held=outcomes.count(AttemptOutcome.HELD),
    )
