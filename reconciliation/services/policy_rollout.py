"""Publishes a policy and lets it take effect where it can be seen, in one transaction.

Branches below the layer are classified anew, and those that the new policy may judge otherwise
are checked again, the worst first and never more than a cap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.domain.entries import Actor
from governance.domain.policy import matches
from governance.domain.policy_text import PolicyText
from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.policy_places import PolicyPlace
from governance.selectors.policy_reach import branches_that_differ, reach, repositories_below
from governance.services.branch_classes import reclassify_branches
from governance.services.policy_publishing import Published, prepare_version, store_version
from reconciliation.domain.risk import SEVERITIES
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Finding, FindingState, TaskKind
from reconciliation.services.queue import PRIORITY_SWEEP, Planned, enqueue
from reconciliation.services.wake import wake

MOST_CHECKS = 1000
CHECKED_AGAIN = (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN, TaskKind.STALE_BRANCH)
"""What became of a lease is not decided again: its findings stay as they are."""

Check = tuple[int, str, str]
"""Repository, branch, and task kind."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What publishing led to.

    `reclassified` branches have another class now; `planned` checks were queued; `left` more would
    have been but for the cap: `reconcile` their repositories to have them checked as well.
    """

    published: Published
    reclassified: int = 0
    planned: int = 0
    left: int = 0

    @property
    def numbers(self) -> dict[str, int]:
        """Return the numbers, for answers and the trail."""
        return {
            "reclassified": self.reclassified,
            "planned": self.planned,
            "left": self.left,
        }


@transaction.atomic
def publish_policy(
    text: PolicyText,
    *,
    place: PolicyPlace,
    author: Actor,
    approved_by: Actor | None,
    reason: str,
    expected_version: int | None,
    manifest: Mapping[str, Any] | None = None,
    origin: str,
    correlation_id: str,
    now: datetime,
    most_checks: int = MOST_CHECKS,
) -> Rollout:
    """Publish the next version of a layer, classify branches anew, and plan their checks.

    Checked again are branches with open findings, branches whose class changed, and branches whose
    heads differ, in this order. A document that is in force already leads to nothing.

    Raises:
        PolicyRefused, ApprovalNeeded, PolicyChangedMeanwhile, BadReason: see `prepare_version`;
            nothing was changed.
    """
    ready = prepare_version(
        text,
        place=place,
        author=author,
        approved_by=approved_by,
        reason=reason,
        expected_version=expected_version,
        manifest=manifest,
    )
    if not ready.is_new:
        return Rollout(store_version(ready, correlation_id=correlation_id, now=now))
    changed = reclassify_branches(place, layer=ready.plan.layer)
    wanted = _checks(place, changed)
    planned = _plan(
        wanted[:most_checks],
        about=f"policy {place.name} v{ready.number}",
        origin=origin,
        correlation_id=correlation_id,
        now=now,
    )
    left = len(wanted) - planned
    published = store_version(
        ready,
        correlation_id=correlation_id,
        now=now,
        effects={"reclassified": len(changed), "planned": planned, "left": left},
    )
    return Rollout(published, len(changed), planned, left)


def _checks(place: PolicyPlace, changed: Sequence[tuple[int, str]]) -> list[Check]:
    """Return the checks that the new policy asks for, the worst first, each once."""
    wanted: dict[Check, None] = {}
    for repository_id, branch, kind in _open_findings(place):
        wanted[repository_id, branch, TaskKind.HEAD_DRIFT] = None
        if kind in CHECKED_AGAIN:
            wanted[repository_id, branch, kind] = None
    active = set(repositories_below(place, only_active=True)) if changed else set()
    still_checked = [one for one in changed if one[0] in active]
    for repository_id, branch in (*still_checked, *branches_that_differ(place)):
        wanted[repository_id, branch, TaskKind.HEAD_DRIFT] = None
    return [one for one in wanted if _reaches(place, one[1])]


def _reaches(place: PolicyPlace, branch: str) -> bool:
    return bool(branch) and (not place.branch_pattern or matches(place.branch_pattern, branch))


def _open_findings(place: PolicyPlace) -> list[Check]:
    rows = Finding.objects.filter(
        reach(place, prefix="repository__"),
        state=FindingState.OPEN,
        repository__is_active=True,
    ).values_list(
        "severity",
        "repository__tenant__slug",
        "repository__slug",
        "branch",
        "check_kind",
        "repository_id",
    )
    ordered = sorted(rows, key=lambda row: (-SEVERITIES.index(row[0]), *row[1:]))
    return [(repository_id, branch, kind) for *_, branch, kind, repository_id in ordered]


def _plan(
    checks: Sequence[Check], *, about: str, origin: str, correlation_id: str, now: datetime
) -> int:
    if not checks:
        return 0
    repositories = repositories_by_id({repository_id for repository_id, _, _ in checks})
    queued = enqueue(
        [
            Planned(
                item=WorkItem(
                    tenant=repositories[repository_id].tenant,
                    workspace=repositories[repository_id].workspace,
                    repo=repositories[repository_id].slug,
                    branch=branch,
                    task_kind=kind,
                    about=about,
                ),
                repository_id=repository_id,
                correlation_id=correlation_id,
                origin=origin,
                # However many these are, no push waits behind them.
                priority=PRIORITY_SWEEP,
                run_after=now,
                announced_at=now,
            )
            for repository_id, branch, kind in checks
        ],
        now=now,
        revive=False,
    )
    wake(now)
    return len(queued)
