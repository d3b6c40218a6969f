"""How well a repository's webhook is heard, and what its host never says; changes nothing."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import TruncHour

from audit.domain.caller import Caller
from governance.selectors.visible import Repository, visible_branches
from reconciliation.domain.webhook_health import (
    WINDOW,
    HeardFacts,
    Verdict,
    in_hours,
    judge_webhook,
)
from reconciliation.models import (
    Origin,
    ReconciliationTask,
    RepositoryWatch,
    TaskKind,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSource,
)
from reconciliation.selectors.visible import visible_deliveries, visible_sources
from reconciliation.webhooks.blind_spots import BlindSpot, blind_spots_of
from reconciliation.webhooks.hosts import HostKind

_MOST_SOURCES = 10
# Refused for what was in the body, not for who sent it: the webhook was heard.
_HEARD_ALL_THE_SAME = ("too_large", "incomplete_body", "length_required", "another_repository")


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """A source that may speak for the repository, and what was refused on it."""

    source: WebhookSource
    refusals: tuple[WebhookRefusal, ...]


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """What a page and the API show of a repository's webhook."""

    verdict: Verdict
    last_delivery_at: datetime | None
    changes_by_webhook: int
    changes_by_sweep: int
    unannounced_since: int
    sources: tuple[SourceHealth, ...]
    blind_spots: tuple[BlindSpot, ...]

    @property
    def percent_missed(self) -> int | None:
        """The share of head changes that a sweep saw first; None before any change."""
        changes = self.changes_by_webhook + self.changes_by_sweep
        return round(100 * self.changes_by_sweep / changes) if changes else None

    @property
    def usual_silence(self) -> str | None:
        """The longest silence of the window in words; None while it says little."""
        usual = self.verdict.usual_silence
        return None if usual is None else in_hours(usual)


def webhook_health(repository: Repository, caller: Caller, *, now: datetime) -> WebhookHealth:
    """Return the health of the webhook of a repository that the caller may see, in six queries."""
    watch = RepositoryWatch.objects.filter(repository_id=repository.pk).first()
    announced = watch.last_delivery_at if watch else None
    sources = _sources(repository, caller)
    unannounced = _unannounced_since(repository, caller, announced)
    heard = _heard(repository, caller, sources, now=now)
    # A ping, or an event that we leave alone, is heard as well, and moves no watch.
    last = max((at for at in (announced, *heard.values()) if at), default=None)
    refused = _last_refusal([one for one in sources if one.source.revoked_at is None])
    facts = HeardFacts(
        has_source=any(one.source.revoked_at is None for one in sources),
        last_delivery_at=last,
        last_announcement_at=announced,
        refused_at=refused.last_at if refused else None,
        refused_for=refused.reason if refused else "",
        heard_in=tuple(sorted(heard)),
        unannounced_since=unannounced,
    )
    return WebhookHealth(
        verdict=judge_webhook(facts, now),
        last_delivery_at=last,
        changes_by_webhook=watch.changes_by_webhook if watch else 0,
        changes_by_sweep=watch.changes_by_sweep if watch else 0,
        unannounced_since=unannounced,
        sources=sources,
        blind_spots=blind_spots_of(_host(repository, sources)),
    )


def _sources(repository: Repository, caller: Caller) -> tuple[SourceHealth, ...]:
    rows = visible_sources(caller).filter(
        Q(repository_id=repository.pk)
        | Q(repository__isnull=True, tenant_id=repository.tenant_id, host_kind=repository.host_kind)
    )
    # Live ones first, then those that were revoked last.
    ordered = rows.order_by(F("revoked_at").desc(nulls_first=True), "id")
    return tuple(
        SourceHealth(source, tuple(source.refusals.all()))
        for source in ordered.prefetch_related("refusals")[:_MOST_SOURCES]
    )


def _host(repository: Repository, sources: tuple[SourceHealth, ...]) -> HostKind:
    """Return the kind of host that speaks: a source says so better than a guess at connecting."""
    kinds = [one.source.host_kind for one in sources if one.source.revoked_at is None]
    return HostKind(kinds[0] if kinds else repository.host_kind)


def _last_refusal(sources: list[SourceHealth]) -> WebhookRefusal | None:
    refusals = [
        refusal
        for one in sources
        for refusal in one.refusals
        if refusal.reason not in _HEARD_ALL_THE_SAME
    ]
    return max(refusals, key=lambda one: (one.last_at, one.pk), default=None)


def _unannounced_since(repository: Repository, caller: Caller, last: datetime | None) -> int:
    rows = visible_branches(caller).filter(
        repository_id=repository.pk, announced_by="sweep", head_changes__gt=0
    )
    if last is not None:
        rows = rows.filter(observed_at__gt=last)
    return rows.select_related(None).order_by().count()


def _heard(
    repository: Repository, caller: Caller, sources: tuple[SourceHealth, ...], *, now: datetime
) -> dict[datetime, datetime]:
    """Return the hours of the window in which a delivery came, each with its last one."""
    own = [one.source.pk for one in sources if one.source.repository_id is not None]
    shared = [one.source.pk for one in sources if one.source.repository_id is None]
    recent = visible_deliveries(caller).select_related(None).filter(received_at__gt=now - WINDOW)
    heard = _by_hour(recent.filter(source_id__in=own)) if own else {}
    if shared:
        # By way of the repository's own tasks: an organisation's source has everybody's deliveries.
        tasks = ReconciliationTask.objects.filter(
            repository_id=repository.pk,
            branch="",
            task_kind=TaskKind.OBSERVE_REFS,
            origin=Origin.WEBHOOK,
        )
        for hour, last in _by_hour(recent.filter(source_id__in=shared, task__in=tasks)).items():
            heard[hour] = max(last, heard.get(hour, last))
    return heard


def _by_hour(rows: QuerySet[WebhookDelivery]) -> dict[datetime, datetime]:
    hours = rows.order_by().annotate(hour=TruncHour("received_at")).values("hour")
    return dict(hours.annotate(last=Max("received_at")).values_list("hour", "last"))
