"""Sweeps over the API: the list with progress, and one with its worklist.

A sweep may span tenants. Its worklist and its progress are narrowed to the caller's tenants; its
totals and the digest, which cover everybody's, are for callers who may see every tenant.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import Caller, caller_of
from governance.selectors.visible import NotVisible
from reconciler_site.base.bodies import LARGEST_INTEGER
from reconciler_site.base.queries import QuerySerializer, StrictQuery
from reconciliation.api.base import RowList
from reconciliation.api.rows import RowSerializer
from reconciliation.filters import SweepFilter
from reconciliation.models import Origin
from reconciliation.selectors.counts import Progress, progress_of
from reconciliation.selectors.visible import visible_sweeps, visible_tasks

_TOTALS = (
    "considered",
    "planned",
    "skipped",
    "failed",
    "host_calls",
    "budget_repositories",
    "worklist_digest",
)
_DEFAULT_ITEMS, _MOST_ITEMS = 200, 1000


class SweepRow(RowSerializer):
    """One bounded pass. Totals are null for callers of some tenants."""

    computed = frozenset({"status", "tasks", "done", "tasks_by_state"})

    id = serializers.IntegerField()
    slot = serializers.DateTimeField(help_text="The scheduled start; part of every key it plans.")
    trigger = serializers.CharField(help_text="schedule or manual")
    scope = serializers.CharField(help_text="Empty: all that is due.")
    status = serializers.ChoiceField(choices=["running", "complete", "degraded"])
    tasks = serializers.IntegerField(help_text="Tasks the caller may see, follow-ups included.")
    done = serializers.IntegerField(help_text="Those that have ended, one way or the other.")
    tasks_by_state = serializers.DictField(child=serializers.IntegerField())
    considered = serializers.IntegerField(allow_null=True, help_text="Repositories that were due.")
    planned = serializers.IntegerField(allow_null=True, help_text="Items of the worklist.")
    skipped = serializers.DictField(
        child=serializers.IntegerField(), allow_null=True, help_text="Reason to number."
    )
    failed = serializers.IntegerField(
        allow_null=True, help_text="Observations that failed for good: dead letters until mended."
    )
    host_calls = serializers.IntegerField(
        allow_null=True,
        help_text="Calls to hosts that its tasks, and what followed from them, made so far.",
    )
    budget_repositories = serializers.IntegerField(allow_null=True)
    worklist_digest = serializers.CharField(
        allow_null=True, help_text="SHA-256 of the whole worklist's canonical JSON."
    )
    correlation_id = serializers.CharField()
    started_at = serializers.DateTimeField()
    planned_at = serializers.DateTimeField()


class WorklistItem(serializers.Serializer[Any]):
    """One item of the worklist and what became of it."""

    ordinal = serializers.IntegerField(help_text="Place in the whole worklist.")
    tenant = serializers.CharField()
    workspace = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField()
    task_kind = serializers.CharField()
    about = serializers.CharField()
    run_id = serializers.CharField(allow_null=True)
    lease_id = serializers.CharField(allow_null=True)
    task = serializers.IntegerField(
        allow_null=True, help_text="null: an earlier sweep had planned the same task already."
    )
    state = serializers.CharField(allow_null=True)
    policy_decision = serializers.CharField(allow_null=True)


class SweepInFull(SweepRow):
    """A sweep with its worklist in canonical order."""

    computed = SweepRow.computed | {"worklist", "next_ordinal"}

    worklist = WorklistItem(many=True)
    next_ordinal = serializers.IntegerField(
        allow_null=True, help_text="Go on with from_ordinal=<this>; null: that was all."
    )


class WorklistParameters(QuerySerializer):
    """Which stretch of the worklist to show."""

    from_ordinal = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=LARGEST_INTEGER
    )
    items = serializers.IntegerField(
        required=False, default=_DEFAULT_ITEMS, min_value=1, max_value=_MOST_ITEMS
    )


class SweepList(RowList):
    """Sweeps, newest first."""

    serializer_class = SweepRow
    filterset_class = SweepFilter

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_sweeps(caller)

    def enrich(self, rows: Sequence[dict[str, Any]], caller: Caller) -> None:
        """Add progress, and take totals away from callers who may not see them."""
        progress = progress_of(caller, [row["id"] for row in rows])
        for row in rows:
            _complete(row, progress[row["id"]], caller)


class SweepDetail(StrictQuery):
    """One sweep with its worklist."""

    query_serializer = WorklistParameters

    @extend_schema(parameters=[WorklistParameters], responses=SweepInFull)
    def get(self, request: Request, sweep_id: int) -> Response:
        asked, caller = self.query(), caller_of(request)
        row = (
            visible_sweeps(caller)
            .filter(pk=sweep_id)
            .values(*SweepInFull.columns(), "worklist")
            .first()
        )
        if row is None:
            raise NotVisible(f"There is no sweep {sweep_id}, or it is not yours to see.")
        items = _items(row["worklist"], caller, from_ordinal=asked["from_ordinal"])
        shown, rest = items[: asked["items"]], items[asked["items"] :]
        _complete(row, progress_of(caller, [sweep_id])[sweep_id], caller)
        row["worklist"] = _with_tasks(shown, caller, sweep_id)
        row["next_ordinal"] = rest[0]["ordinal"] if rest else None
        return Response(SweepInFull(row).data)


def _complete(row: dict[str, Any], progress: Progress, caller: Caller) -> None:
    row["status"], row["tasks"], row["done"] = progress.status, progress.tasks, progress.done
    row["tasks_by_state"] = dict(sorted(progress.tasks_by_state.items()))
    if caller.tenants is not None:
        row |= dict.fromkeys(_TOTALS)


def _items(worklist: str, caller: Caller, *, from_ordinal: int) -> list[dict[str, Any]]:
    """Return the caller's items from a place on, in canonical order."""
    items: list[dict[str, Any]] = json.loads(worklist)
    return [
        {**item, "ordinal": ordinal}
        for ordinal, item in enumerate(items)
        if ordinal >= from_ordinal and caller.may_see(item["tenant"])
    ]


def _with_tasks(
    items: Sequence[Mapping[str, Any]], caller: Caller, sweep_id: int
) -> list[dict[str, Any]]:
    # Follow-ups belong to the sweep too, but not to its worklist: their ordinal means nothing.
    tasks = {
        row["ordinal"]: row
        for row in visible_tasks(caller)
        .filter(
            sweep_id=sweep_id,
            origin=Origin.SWEEP,
            ordinal__in=[item["ordinal"] for item in items],
        )
        .values("ordinal", "id", "state", "policy_decision")
    }
    nothing: Mapping[str, Any] = {}
    return [
        {
            **item,
            "task": tasks.get(item["ordinal"], nothing).get("id"),
            "state": tasks.get(item["ordinal"], nothing).get("state"),
            "policy_decision": tasks.get(item["ordinal"], nothing).get("policy_decision"),
        }
        for item in items
    ]
