"""Starts a bounded sweep over the API; beside the list that it will be in."""

from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import caller_of
from reconciler_site.base.bodies import BodySerializer, body_of
from reconciliation.api.rows import shown_rows
from reconciliation.api.sweeps import SweepList, SweepRow
from reconciliation.selectors.visible import visible_sweeps
from reconciliation.services.installation import configured_budget
from reconciliation.services.sweep_start import NotAllowed, ScopeTooWide, start_sweep


class StartSweepBody(BodySerializer):
    """What to sweep."""

    scope = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=400,
        help_text="tenant, tenant/workspace or tenant/workspace/repo; empty: all that is yours.",
    )
    everything = serializers.BooleanField(
        default=False, help_text="Repositories count as due whatever their age, within the budget."
    )


class StartedSweep(serializers.Serializer[Any]):
    """The sweep, or none when nothing was due."""

    items = serializers.IntegerField(help_text="Of its worklist.")
    sweep = SweepRow(allow_null=True)


class Sweeps(SweepList):
    """Sweeps, newest first; a POST starts one."""

    required_scopes = {"POST": "tasks"}

    @extend_schema(
        operation_id="start_sweep",
        request=StartSweepBody,
        responses={202: StartedSweep, 200: StartedSweep},
        parameters=[],
        filters=False,
    )
    def post(self, request: Request) -> Response:
        """Plan a sweep now, bounded as every sweep; 202 with it, or 200 when nothing was due."""
        asked, caller = body_of(StartSweepBody, request), caller_of(request)
        try:
            planned = start_sweep(
                asked["scope"],
                everything=asked["everything"],
                caller=caller,
                budget=configured_budget(),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        except NotAllowed as error:
            raise exceptions.PermissionDenied(str(error)) from error
        except ScopeTooWide as error:
            raise exceptions.ValidationError({"scope": str(error)}, code="required") from error
        if planned.row is None:
            return Response({"items": 0, "sweep": None})
        rows = list(visible_sweeps(caller).filter(pk=planned.row.pk).values(*SweepRow.columns()))
        self.enrich(rows, caller)
        [shown] = shown_rows(SweepRow, rows)
        return Response(
            {"items": len(planned.worklist.items), "sweep": shown},
            status=202,
            headers={"Location": reverse("api-sweep", kwargs={"sweep_id": planned.row.pk})},
        )
