"""The status over the API: always valid, also when parts of what it tells of fail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import caller_of
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.rows import shown_time
from reconciliation.selectors.status import Part, Status, status_of


class ReasonSerializer(serializers.Serializer[Any]):
    """Why something is degraded, and what is therefore not known."""

    code = serializers.CharField()
    part = serializers.CharField()
    detail = serializers.CharField()
    since = serializers.DateTimeField(
        allow_null=True, help_text="When it was last good, where that is known."
    )


class KindDepth(serializers.Serializer[Any]):
    """Tasks of one kind that are not done."""

    task_kind = serializers.CharField()
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    dead = serializers.IntegerField()


class QueueFigures(serializers.Serializer[Any]):
    """How much work waits."""

    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    dead_letters = serializers.IntegerField()
    oldest_due_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when the longest waiting task has been due."
    )
    by_kind = KindDepth(many=True)


class OpenCircuit(serializers.Serializer[Any]):
    """A host, or a credential there, that is down: what needs it waits and burns no attempt."""

    tenant = serializers.CharField()
    origin = serializers.CharField(help_text="Scheme, host and port; `local` for folders.")
    credential_name = serializers.CharField(allow_null=True, help_text="null: read without one.")
    state = serializers.CharField(help_text="open, or half_open while one task asks")
    cause = serializers.CharField(help_text="Error code of the last failure.")
    message = serializers.CharField()
    since = serializers.DateTimeField()
    next_probe_at = serializers.DateTimeField(help_text="When one task asks it again.")
    held_tasks = serializers.IntegerField()
    held_repositories = serializers.IntegerField()


class HostFigures(serializers.Serializer[Any]):
    """Which hosts and credentials are down."""

    open_circuits = serializers.IntegerField()
    held_tasks = serializers.IntegerField(help_text="Counted every 15 seconds.")
    open = OpenCircuit(many=True, help_text="Longest open first, at most 10.")


class SweepFigures(serializers.Serializer[Any]):
    """How recent the picture is that sweeps keep."""

    last_sweep = serializers.IntegerField(allow_null=True)
    last_sweep_at = serializers.DateTimeField(allow_null=True)
    watched_repositories = serializers.IntegerField()
    overdue_repositories = serializers.IntegerField()
    never_swept_repositories = serializers.IntegerField()
    oldest_swept = serializers.CharField(allow_null=True, help_text="As tenant/repo.")
    oldest_swept_at = serializers.DateTimeField(allow_null=True)


class WorkerHeartbeat(serializers.Serializer[Any]):
    """When one part of the machinery last showed progress."""

    name = serializers.CharField()
    at = serializers.DateTimeField()


class WorkerFigures(serializers.Serializer[Any]):
    """Whether the machinery moves."""

    heartbeats = WorkerHeartbeat(many=True)


class DiskFigure(serializers.Serializer[Any]):
    """One disk that is written to."""

    holds = serializers.ChoiceField(choices=["database", "mirrors"])
    is_full = serializers.BooleanField()
    free_bytes = serializers.IntegerField(allow_null=True, help_text="null: on another machine.")


class DiskFigures(serializers.Serializer[Any]):
    """Whether anything can be stored."""

    disks = DiskFigure(many=True)


class UnreadableRepository(serializers.Serializer[Any]):
    """A repository that cannot be read."""

    tenant = serializers.CharField()
    repo = serializers.CharField()
    since = serializers.DateTimeField()
    error_code = serializers.CharField()


class RepositoryFigures(serializers.Serializer[Any]):
    """What is governed, and what of it is unknown."""

    repositories = serializers.IntegerField()
    branches = serializers.IntegerField(
        help_text="Heads last read, and branches that are gone but have an open finding."
    )
    branches_with_findings = serializers.IntegerField()
    unreadable_repositories = serializers.IntegerField()
    unknown_branches = serializers.IntegerField()
    unreadable = UnreadableRepository(many=True, help_text="Longest failing first, at most 10.")


class WebhookFigures(serializers.Serializer[Any]):
    """Whether hosts are heard."""

    last_delivery_at = serializers.DateTimeField(allow_null=True)
    silent_repositories = serializers.IntegerField(help_text="Without any delivery ever.")
    changes_by_webhook = serializers.IntegerField()
    changes_by_sweep = serializers.IntegerField()
    percent_missed = serializers.IntegerField(
        allow_null=True, help_text="Share of head changes that a sweep saw first."
    )


class AlertFigures(serializers.Serializer[Any]):
    """What people must look at."""

    unresolved = serializers.IntegerField()
    by_severity = serializers.DictField(child=serializers.IntegerField())
    by_state = serializers.DictField(child=serializers.IntegerField())
    oldest_open_at = serializers.DateTimeField(allow_null=True)
    escalations_due = serializers.IntegerField(
        help_text="Open alerts with an escalation that is due and was not sent."
    )
    notification_channels = serializers.IntegerField(
        help_text="Channels that messages can be sent through; 0: nothing is sent to anyone."
    )


class LeaseFigures(serializers.Serializer[Any]):
    """Leases that are held."""

    held = serializers.IntegerField()
    expiring = serializers.IntegerField(help_text="Within five minutes.")
    overdue = serializers.IntegerField(help_text="Ran out, and nobody ended them.")
    soonest_expiry_at = serializers.DateTimeField(allow_null=True)


class AuditFigures(serializers.Serializer[Any]):
    """The trail: `audit/verify` recomputes it."""

    chains = serializers.IntegerField()
    entries = serializers.IntegerField()
    missing_triggers = serializers.ListField(child=serializers.CharField())


class PartSerializer(serializers.Serializer[Any]):
    """One part; `figures` is null when its status is unknown."""

    status = serializers.ChoiceField(choices=["ok", "degraded", "unknown"])
    as_of = serializers.DateTimeField(
        allow_null=True,
        help_text="When its figures were true; for the worker, when it last moved. null: unknown.",
    )
    reasons = serializers.ListField(
        child=serializers.CharField(), help_text="Codes; see degraded_reasons."
    )


class QueuePart(PartSerializer):
    """The queue."""

    figures = QueueFigures(allow_null=True)


class HostsPart(PartSerializer):
    """The git hosts, as far as tasks may ask them."""

    figures = HostFigures(allow_null=True)


class SweepsPart(PartSerializer):
    """The sweeps."""

    figures = SweepFigures(allow_null=True)


class WorkerPart(PartSerializer):
    """The workers."""

    figures = WorkerFigures(allow_null=True)


class DisksPart(PartSerializer):
    """The disks."""

    figures = DiskFigures(allow_null=True)


class RepositoriesPart(PartSerializer):
    """The repositories."""

    figures = RepositoryFigures(allow_null=True)


class WebhooksPart(PartSerializer):
    """The webhooks."""

    figures = WebhookFigures(allow_null=True)


class AlertsPart(PartSerializer):
    """The alerts."""

    figures = AlertFigures(allow_null=True)


class LeasesPart(PartSerializer):
    """The leases."""

    figures = LeaseFigures(allow_null=True)


class AuditPart(PartSerializer):
    """The audit trail."""

    figures = AuditFigures(allow_null=True)


class PartsSerializer(serializers.Serializer[Any]):
    """All parts; each is there, whatever fails."""

    queue = QueuePart()
    hosts = HostsPart()
    sweeps = SweepsPart()
    worker = WorkerPart()
    disks = DisksPart()
    repositories = RepositoriesPart()
    webhooks = WebhooksPart()
    alerts = AlertsPart()
    leases = LeasesPart()
    audit = AuditPart()


class StatusSerializer(serializers.Serializer[Any]):
    """The whole at one moment."""

    status = serializers.ChoiceField(choices=["ok", "degraded"])
    as_of = serializers.DateTimeField()
    degraded_reasons = ReasonSerializer(many=True)
    parts = PartsSerializer()


class StatusView(StrictQuery):
    """The state of the reconciler and of what the caller may see of the world.

    Answers 200 with a valid payload also when parts cannot be read: those are `unknown`, with the
    reason. Figures are those of the caller's tenants.
    """

    @extend_schema(responses=StatusSerializer)
    def get(self, request: Request) -> Response:
        return Response(status_values(status_of(caller_of(request), now=timezone.now())))


def status_values(status: Status) -> dict[str, Any]:
    """Return a status as JSON values."""
    return {
        "status": status.status,
        "as_of": shown_time(status.as_of),
        "degraded_reasons": [
            {
                "code": reason.code,
                "part": part,
                "detail": reason.detail,
                "since": shown_time(reason.since),
            }
            for part, reason in status.degraded_reasons
        ],
        "parts": {name: _part(part) for name, part in status.parts.items()},
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "status": part.status,
        "as_of": shown_time(part.as_of),
        "reasons": [reason.code for reason in part.reasons],
        "figures": _with_times(part.figures),
    }


def _with_times(value: Any) -> Any:
    if isinstance(value, datetime):
        return shown_time(value)
    if isinstance(value, Mapping):
        return {name: _with_times(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    return value
