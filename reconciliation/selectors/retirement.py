"""Reads what was last decided about retiring a branch, with its evidence; changes nothing."""

import json
from dataclasses import dataclass
from datetime import datetime

from governance.selectors.visible import Branch
from reconciliation.domain.codec import decode
from reconciliation.domain.findings import Evidence
from reconciliation.models import Evaluation, TaskKind


@dataclass(frozen=True, slots=True)
class Retirement:
    """The newest decision of the stale branch check.

    `evidence` is None where nothing speaks of retiring the branch. It is about `evidence.head_sha`:
    where the branch is elsewhere by now, `is_outdated` says so.
    """

    decision: str
    reason: str
    decided_at: datetime
    evidence: Evidence | None
    is_outdated: bool


def retirement_of(branch: Branch) -> Retirement | None:
    """Return it by one query, or None when the branch was never checked."""
    newest = (
        Evaluation.objects.filter(
            task__repository_id=branch.repository_id,
            task__branch=branch.name,
            task__task_kind=TaskKind.STALE_BRANCH,
        )
        .order_by("-task_id", "-id")
        .values_list("decision", "evaluated_at")
        .first()
    )
    if newest is None:
        return None
    value = json.loads(newest[0])
    stored = value.get("evidence")
    evidence = None if stored is None else decode(Evidence, stored)
    return Retirement(
        decision=value["decision"],
        reason=value["reason"],
        decided_at=newest[1],
        evidence=evidence,
        is_outdated=evidence is not None and evidence.head_sha != (branch.observed_head or ""),
    )
