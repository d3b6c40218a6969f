"""Branches as people see them: lists by repository, and one branch in full; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from audit.domain.caller import Caller
from governance.selectors.visible import (
    Branch,
    Lease,
    PullRequest,
    Repository,
    RunRecord,
    branch_named,
    leases_over,
    runs_of,
    visible_branches,
    visible_pull_requests,
)
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.domain.coherence import drift_class_of
from reconciliation.domain.coherence_values import CoherenceMatrix, OpenFinding
from reconciliation.models import Alert, Finding, ReconciliationTask, TaskKind, TaskState
from reconciliation.selectors.coherence import coherence_matrix, heads_of
from reconciliation.selectors.history import HistoryLine, history_of_traces
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.retirement import Retirement, retirement_of
from reconciliation.selectors.visible import visible_alerts, visible_findings, visible_tasks

_SEVERITIES = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True, slots=True)
class BranchLine:
    """One branch in a list. `drift` is a drift class; `severity` the worst of its open findings."""

    branch: Branch
    drift: str
    findings: int
    severity: str


@dataclass(frozen=True, slots=True)
class BranchPage:
    """One branch in full. `next_check_at` None: nothing is waiting, see `repository.watch`."""

    branch: Branch
    drift: str
    matrix: CoherenceMatrix
    findings: tuple[Finding, ...]
    resolved_findings: tuple[Finding, ...]
    alerts: tuple[Alert, ...]
    leases: tuple[Lease, ...]
    runs: tuple[RunRecord, ...]
    pull_requests: tuple[PullRequest, ...]
    retirement: Retirement | None
    tasks: tuple[ReconciliationTask, ...]
    timeline: tuple[HistoryLine, ...]
    next_check_at: datetime | None
    last_check_at: datetime | None


def presence_of(branch: Branch) -> str:
    """Return whether the branch is on the remote: present, recreated, gone or never_seen.

    `recreated` is there again after it was gone, and nobody accepted that yet.
    """
    if branch.observed_head is not None:
        return "present" if branch.gone_at is None else "recreated"
    was_there = branch.observed_at is not None or branch.gone_at is not None
    return "gone" if was_there else "never_seen"


def drift_of(branch: Branch, open_findings: Sequence[Finding]) -> str:
    """Return the drift class that is known of a branch: the check's word where there is one.

    Heads that differ without a decision yet are `unknown`, never `in_sync`.
    """
    watch = getattr(branch.repository, "watch", None)
    is_failing = watch is not None and watch.failing_since is not None
    is_unread = branch.observed_at is None and branch.gone_at is None
    drift = next((one for one in open_findings if one.check_kind == TaskKind.HEAD_DRIFT), None)
    return drift_class_of(
        governed_head=branch.governed_head,
        observed_head=branch.observed_head,
        is_known=not (is_failing or is_unread),
        # Lists load neither summaries nor rule hits.
        drift=OpenFinding(drift.check_kind, drift.stable_class, "", {}, heads_of(drift))
        if drift
        else None,
    )


def branch_list(
    caller: Caller,
    *,
    repository: Repository | None = None,
    search: str = "",
    drifted: bool = False,
    branch_class: str = "",
    after: str = "",
) -> Page[BranchLine]:
    """Return a page of a repository's branches by name (of all branches by id without one).

    Two queries whatever the number of branches. `drifted` keeps those whose heads differ.
    """
    rows = visible_branches(caller).select_related("repository__watch")
    key = "name" if repository is not None else "id"
    rows = rows.order_by(key)
    if repository is not None:
        rows = rows.filter(repository_id=repository.pk)
    list_name = f"page branches of {repository.pk if repository is not None else 'all'}"
    for position in position_of(list_name, after):
        rows = rows.filter(**{f"{key}__gt": position})
    if search:
        rows = rows.filter(name__contains=search)
    if branch_class:
        rows = rows.filter(branch_class=branch_class)
    if drifted:
        rows = rows.exclude(observed_head=F("governed_head"), observed_head__isnull=False)
        rows = rows.filter(Q(observed_head__isnull=False) | Q(governed_head__isnull=False))
    found = list(rows.select_related("repository__tenant", "repository__watch")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    is_last = len(found) <= PAGE_SIZE
    after = "" if is_last else signed_cursor(list_name, [getattr(shown[-1], key)])
    findings = _open_findings(caller, shown)
    return Page(
        tuple(_line(row, findings.get((row.repository_id, row.name), [])) for row in shown), after
    )


def _open_findings(
    caller: Caller, branches: Sequence[Branch]
) -> dict[tuple[int, str], list[Finding]]:
    rows = visible_findings(caller).filter(
        state="open",
        repository_id__in={branch.repository_id for branch in branches},
        branch__in={branch.name for branch in branches},
    )
    grouped: dict[tuple[int, str], list[Finding]] = {}
    for finding in rows.select_related(None):
        grouped.setdefault((finding.repository_id, finding.branch), []).append(finding)
    return grouped


def _line(branch: Branch, findings: Sequence[Finding]) -> BranchLine:
    found = {finding.severity for finding in findings}
    return BranchLine(
        branch=branch,
        drift=drift_of(branch, findings),
        findings=len(findings),
        severity=next((level for level in _SEVERITIES if level in found), ""),
    )


def branch_page(
    caller: Caller, *, tenant: str, repo: str, branch: str, now: datetime
) -> BranchPage:
    """Return everything about one branch, in a constant number of queries.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    row = branch_named(caller, tenant=tenant, repo=repo, branch=branch)
    findings = tuple(
        visible_findings(caller).filter(repository_id=row.repository_id, branch=row.name)[:50]
    )
    opened = tuple(sorted((f for f in findings if f.state == "open"), key=_worst_first))
    here = visible_tasks(caller).filter(repository_id=row.repository_id, branch=row.name)
    tasks = tuple(here.order_by("-id")[:25])
    waiting = [task.run_after for task in tasks if task.state == TaskState.QUEUED]
    done = [task.completed_at for task in tasks if task.completed_at]
    traces = [task.correlation_id for task in tasks] + [f.correlation_id for f in findings]
    watch = getattr(row.repository, "watch", None)
    return BranchPage(
        branch=row,
        drift=drift_of(row, opened),
        matrix=coherence_matrix(row, now=now),
        findings=opened,
        resolved_findings=tuple(f for f in findings if f.state != "open")[:10],
        alerts=tuple(
            visible_alerts(caller).filter(repository_id=row.repository_id, branch=row.name)[:20]
        ),
        leases=tuple(leases_over(row)),
        runs=tuple(runs_of(row)[:10]),
        retirement=retirement_of(row),
        pull_requests=tuple(
            visible_pull_requests(caller)
            .filter(repository_id=row.repository_id)
            .filter(Q(head_branch=row.name) | Q(base_branch=row.name))[:10]
        ),
        tasks=tasks,
        timeline=history_of_traces(
            caller, correlation_ids=traces, tenant=tenant, repo=repo, branch=row.name
        )[:50],
        next_check_at=min(waiting, default=watch.next_due_at if watch else None),
        last_check_at=max(done, default=row.repository.observed_at),
    )


def _worst_first(finding: Finding) -> tuple[int, int]:
    return (_SEVERITIES.index(finding.severity), -finding.pk)
