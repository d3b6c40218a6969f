"""Reading the trail over the API: lists, single entries, and a verification report."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics
from rest_framework.request import Request
from rest_framework.response import Response

from audit.api.serializers import (
    COLUMNS,
    ChainReportSerializer,
    EntrySerializer,
    ReportSerializer,
    VerifyParameters,
)
from audit.domain.caller import Caller, caller_of
from audit.domain.canonical import utc_text
from audit.filters import EntryFilter, keyset_for
from audit.selectors import missing_triggers, tenants_on_record, visible_entries
from audit.services import BeyondHead, verify_chains
from reconciler_site.base.queries import StrictQuery


class EntryList(StrictQuery, generics.ListAPIView[Any]):
    """Audit entries of the caller's tenants, newest first.

    Times are when the act happened. Filters are exact. Entries never change, so a page that was
    read once stays true.
    """

    required_scope = "audit"
    serializer_class = EntrySerializer
    filterset_class = EntryFilter

    @property
    def keyset(self) -> tuple[str]:
        """The column by which the list pages."""
        return keyset_for(self.request.query_params, tenants=caller_of(self.request).tenants)

    def get_queryset(self) -> QuerySet[Any]:
        """Return what the caller may see, as dicts."""
        return _rows(self.request)


class EntryDetail(StrictQuery, generics.RetrieveAPIView[Any]):
    """One audit entry with the exact text that its hash covers."""

    required_scope = "audit"
    serializer_class = EntrySerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Any]:
        """Return what the caller may see, as dicts."""
        return _rows(self.request)


class VerifyView(StrictQuery):
    """Recomputes chains and compares them with their heads, a bounded number of entries per call.

    A chain that is longer comes back with `complete: false`; go on with `tenant` and
    `after=<reached>`. `manage.py audit_verify` checks everything at once.
    """

    required_scope = "audit"
    query_serializer = VerifyParameters

    @extend_schema(parameters=[VerifyParameters], responses=ReportSerializer)
    def get(self, request: Request) -> Response:
        """Return the report."""
        asked = self.query()
        tenants = _tenants_to_verify(caller_of(request), asked.get("tenant"))
        try:
            report = verify_chains(tenants, after=asked["after"], at_most=asked["at_most"])
        except BeyondHead as error:
            raise exceptions.ValidationError({"after": str(error)}) from error
        return Response(
            {
                "status": report.status,
                "as_of": utc_text(datetime.now(UTC)),
                "chains": [ChainReportSerializer(chain).data for chain in report.chains],
                "not_reached": report.not_reached,
                "missing_triggers": missing_triggers(),
            }
        )


def _tenants_to_verify(caller: Caller, tenant: str | None) -> list[str]:
    if tenant is not None and not caller.may_see(tenant):
        raise exceptions.NotFound(f"There is no chain of {tenant}, or it is not yours to see.")
    if tenant is not None:
        return [tenant]
    return tenants_on_record() if caller.tenants is None else sorted(caller.tenants)


def _rows(request: Any) -> QuerySet[Any]:
    rows: QuerySet[Any] = visible_entries(caller_of(request)).values(*COLUMNS)
    return rows
