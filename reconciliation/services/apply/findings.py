"""Stores what checks found: opens, updates, reopens and resolves findings; judges nothing."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from audit.setwise import insert_rows, rows_source
from reconciliation.domain.codec import encode
from reconciliation.domain.findings import FindingDraft
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.models import Finding, FindingState, TaskKind
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.finding_rows import FINDING_COLUMNS, FINDING_UPSERT

_TABLE = Finding._meta.db_table
CHECKS = frozenset({"head_drift", "missing_run", "stale_branch", "lease_renewal"})


@dataclass(frozen=True, slots=True)
class Known:
    """A finding as it stood before."""

    id: int
    fingerprint: str
    stable_class: str
    state: str
    clean_checks: int
    severity: str
    reopened_count: int


def record_findings(
    worked: Sequence[tuple[Worked, int]], effects: Effects, *, now: datetime
) -> None:
    """Bring the findings of the checked branches in line with the decisions, set by set.

    `worked` pairs each decision with its evaluation's id. A clean check is evidence: after enough
    of them a finding is resolved. Another class of the same check replaces the one before at once;
    `unknown` is no evidence against anything.
    """
    checks = [(one, pk) for one, pk in worked if one.task.task_kind in CHECKS]
    if not checks:
        return
    known = _known([one for one, _ in checks])
    rows, changes = [], []
    for one, evaluation_id in checks:
        before = known.get((one.task.repository_id, one.task.branch, one.task.task_kind), [])
        for draft in one.decision.findings:
            fingerprint = _fingerprint(one, draft)
            rows.append(_row(one, draft, fingerprint, evaluation_id, now=now))
            changes += _change_of(one, draft, fingerprint, before)
        changes += _absences(one, before, effects, now=now)
    upserted = dict(
        insert_rows(
            connection,
            _TABLE,
            FINDING_COLUMNS,
            rows,
            on_conflict=FINDING_UPSERT,
            returning="fingerprint, id",
        )
    )
    _store_absences([change for change in changes if change.act in {"resolve", "clean"}], now)
    _announce(changes, upserted, effects, now=now)


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one finding: open, reopen, update, clean (counted) or resolve."""

    act: str
    one: Worked
    fingerprint: str
    stable_class: str
    severity: str
    id: int | None = None
    clean_checks: int = 0
    resolution: str = ""

    @property
    def what_to_do(self) -> str:
        """What a person shall do about it now: its command was for a state that is over."""
        if self.act == "resolve":
            return f"Nothing to do: {self.resolution}."[:300]
        return "Nothing to do: the last check found nothing; another one like it resolves this."


def _change_of(
    one: Worked, draft: FindingDraft, fingerprint: str, before: Sequence[Known]
) -> list[Change]:
    was = next((known for known in before if known.fingerprint == fingerprint), None)
    act = "open" if was is None else "reopen" if was.state == "resolved" else "update"
    return [Change(act, one, fingerprint, draft.stable_class, draft.severity)]


def _absences(
    one: Worked, before: Sequence[Known], effects: Effects, *, now: datetime
) -> list[Change]:
    decision, policy = one.decision, one.gathered.policy
    present = {_fingerprint(one, draft) for draft in decision.findings}
    absent = [k for k in before if k.state == "open" and k.fingerprint not in present]
    if decision.findings and decision.stable_class != "unknown":
        return [
            Change(
                "resolve",
                one,
                k.fingerprint,
                k.stable_class,
                k.severity,
                k.id,
                resolution=f"is {decision.stable_class} now",
            )
            for k in absent
        ]
    if not decision.clean:
        return []
    by_head = one.task.task_kind == TaskKind.HEAD_DRIFT
    needed = policy.head_drift.clean_checks if by_head else policy.alerts.clean_checks
    changes = []
    for k in absent:
        clean = k.clean_checks + 1
        if clean >= needed:
            changes.append(
                Change(
                    "resolve",
                    one,
                    k.fingerprint,
                    k.stable_class,
                    k.severity,
                    k.id,
                    clean,
                    f"{clean} clean checks: {decision.decision}",
                )
            )
            continue
        changes.append(Change("clean", one, k.fingerprint, k.stable_class, k.severity, k.id, clean))
        effects.follow_up(
            one.task,
            branch=one.task.branch,
            task_kind=one.task.task_kind,
            about=f"recheck {k.fingerprint[:16]} {k.reopened_count}.{clean}",
            run_after=now + timedelta(seconds=policy.alerts.recheck_seconds),
            lease_id=one.task.lease_id,
        )
    return changes


def _store_absences(changes: Sequence[Change], now: datetime) -> None:
    if not changes:
        return
    columns = {
        "id": "bigint",
        "state": "text",
        "clean": "smallint",
        "resolved_at": "timestamptz",
        "resolution": "text",
        "recommendation": "text",
    }
    rows = [
        (
            change.id,
            FindingState.RESOLVED if change.act == "resolve" else FindingState.OPEN,
            change.clean_checks,
            now if change.act == "resolve" else None,
            change.resolution[:300],
            change.what_to_do,
        )
        for change in changes
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} SET state = v.state, clean_checks = v.clean,"
            " resolved_at = v.resolved_at, resolution = v.resolution,"
            " recommendation = v.recommendation, command = ''"
            f" FROM {source} AS v WHERE {_TABLE}.id = v.id AND {_TABLE}.state = 'open'",
            params,
        )


def _announce(
    changes: Sequence[Change], upserted: dict[str, int], effects: Effects, *, now: datetime
) -> None:
    touched: dict[tuple[int, str], tuple[Worked, list[str]]] = {}
    for change in changes:
        if change.act == "clean":
            continue
        task = change.one.task
        pk = change.id or upserted[change.fingerprint]
        if change.act != "update":
            effects.entries.append(
                entry_of(
                    task,
                    now=now,
                    action=f"finding.{change.act}",
                    object_kind="finding",
                    object_id=str(pk),
                    outcome=change.severity,
                    reason=change.resolution,
                    policy_version=change.one.gathered.policy.digest,
                    data={"check": task.task_kind, "class": change.stable_class},
                )
            )
        key = (task.repository_id, task.branch)
        touched.setdefault(key, (change.one, []))[1].append(
            f"{change.act}:{change.fingerprint[:16]}:{change.severity}"
        )
    for one, acts in touched.values():
        effects.follow_up(
            one.task,
            branch=one.task.branch,
            task_kind=TaskKind.DIVERGENCE_ALERT,
            about=f"findings {' '.join(sorted(acts))} {one.decision_digest[:16]}",
            run_after=now,
        )


def _known(worked: Sequence[Worked]) -> dict[tuple[int, str, str], list[Known]]:
    found: dict[tuple[int, str, str], list[Known]] = defaultdict(list)
    rows = (
        Finding.objects.filter(
            repository_id__in={one.task.repository_id for one in worked},
            branch__in={one.task.branch for one in worked},
            check_kind__in={one.task.task_kind for one in worked},
        )
        .order_by("fingerprint")
        .values_list(
            "repository_id",
            "branch",
            "check_kind",
            "id",
            "fingerprint",
            "stable_class",
            "state",
            "clean_checks",
            "severity",
            "reopened_count",
        )
    )
    for row in rows:
        found[row[0], row[1], row[2]].append(Known(*row[3:]))
    return found


def _fingerprint(one: Worked, draft: FindingDraft) -> str:
    task = one.task
    return finding_fingerprint(
        tenant=task.tenant,
        repo=task.repo,
        branch=task.branch,
        check_kind=task.task_kind,
        stable_class=draft.stable_class,
    )


def _row(
    one: Worked, draft: FindingDraft, fingerprint: str, evaluation_id: int, *, now: datetime
) -> tuple[object, ...]:
    task = one.task
    return (
        task.repository_id,
        task.branch,
        fingerprint,
        task.task_kind,
        draft.stable_class,
        FindingState.OPEN,
        draft.severity,
        draft.alerting,
        json.dumps(
            [
                {"rule": hit.rule, "weight": hit.weight, "inputs": dict(hit.inputs)}
                for hit in draft.rule_hits
            ]
        ),
        json.dumps(dict(encode(draft.expected))),
        json.dumps(dict(encode(draft.actual))),
        draft.summary,
        draft.recommendation,
        draft.command,
        draft.run_id,
        draft.lease_id,
        evaluation_id,
        task.correlation_id,
        0,
        0,
        now,
        now,
        "",
    )
