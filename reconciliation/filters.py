"""Which query parameters narrow the lists of the API; exact but for `search`, so indexes serve."""

import django_filters
from django.db.models import F, Model, Q, QuerySet

from governance.selectors.visible import Branch, Repository, RunRecord
from reconciler_site.base.filters import (
    LONGEST_SEARCH,
    IdFilter,
    YesNoFilter,
    since_filter,
    until_filter,
)
from reconciliation.models import (
    CHECK_KINDS,
    Alert,
    AlertState,
    DeliveryOutcome,
    Finding,
    FindingState,
    Origin,
    ReconciliationTask,
    Severity,
    Sweep,
    SweepTrigger,
    TaskKind,
    TaskState,
    WebhookDelivery,
)

UNFINISHED = "unfinished"
UNRESOLVED = "unresolved"


class RepositoryFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/repositories`."""

    tenant = django_filters.CharFilter("tenant__slug")
    workspace = django_filters.CharFilter("workspace__slug")
    host_kind = django_filters.CharFilter()
    active = YesNoFilter("is_active")
    unreadable = YesNoFilter(
        "watch__failing_since", lookup_expr="isnull", exclude=True, label="Reading it fails now."
    )
    search = django_filters.CharFilter(
        method="filter_search", max_length=LONGEST_SEARCH, label="Part of its name."
    )

    class Meta:
        model = Repository
        fields: tuple[str, ...] = ()

    def filter_search(self, rows: QuerySet[Model], _: str, value: str) -> QuerySet[Model]:
        """Keep repositories whose slug or full name contains the text."""
        return rows.filter(Q(slug__icontains=value) | Q(full_name__icontains=value))


class BranchFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/branches`."""

    tenant = django_filters.CharFilter("repository__tenant__slug")
    workspace = django_filters.CharFilter("repository__workspace__slug")
    repo = django_filters.CharFilter("repository__slug")
    name = django_filters.CharFilter(label="Exact, without refs/heads/.")
    branch_class = django_filters.CharFilter(label="default, protected, governed or other")
    gone = YesNoFilter("observed_head", lookup_expr="isnull")
    disagrees = YesNoFilter(method="filter_disagrees", label="Observed and governed head differ.")
    search = django_filters.CharFilter(
        "name", lookup_expr="contains", max_length=LONGEST_SEARCH, label="Part of its name."
    )

    class Meta:
        model = Branch
        fields: tuple[str, ...] = ()

    def filter_disagrees(self, rows: QuerySet[Model], _: str, value: bool) -> QuerySet[Model]:
        """Keep branches whose two heads differ, or those where they do not."""
        same = Q(observed_head=F("governed_head")) | Q(
            observed_head__isnull=True, governed_head__isnull=True
        )
        # An explicit null test: in SQL a comparison with null is neither true nor false.
        known = Q(observed_head__isnull=False, governed_head__isnull=False)
        different = (known & ~Q(observed_head=F("governed_head"))) | (
            ~known & ~Q(observed_head__isnull=True, governed_head__isnull=True)
        )
        return rows.filter(different if value else same)


class FindingFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/findings`."""

    tenant = django_filters.CharFilter("repository__tenant__slug")
    repo = django_filters.CharFilter("repository__slug")
    branch = django_filters.CharFilter()
    check_kind = django_filters.ChoiceFilter(choices=CHECK_KINDS)
    stable_class = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(choices=FindingState.choices)
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    alerting = YesNoFilter()
    run_id = django_filters.CharFilter()
    lease_id = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    since = since_filter("opened_at")
    until = until_filter("opened_at")

    class Meta:
        model = Finding
        fields: tuple[str, ...] = ()


class AlertFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/alerts`."""

    tenant = django_filters.CharFilter("repository__tenant__slug")
    repo = django_filters.CharFilter("repository__slug")
    branch = django_filters.CharFilter()
    check_kind = django_filters.ChoiceFilter("finding__check_kind", choices=CHECK_KINDS)
    stable_class = django_filters.CharFilter("finding__stable_class")
    state = django_filters.ChoiceFilter(
        choices=[*AlertState.choices, (UNRESOLVED, "Any but resolved")], method="filter_state"
    )
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    correlation_id = django_filters.CharFilter()
    since = since_filter("opened_at")
    until = until_filter("opened_at")

    class Meta:
        model = Alert
        fields: tuple[str, ...] = ()

    def filter_state(self, rows: QuerySet[Model], _: str, value: str) -> QuerySet[Model]:
        """Keep alerts in a state."""
        if value == UNRESOLVED:
            return rows.exclude(state=AlertState.RESOLVED)
        return rows.filter(state=value)


class TaskFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/tasks`."""

    tenant = django_filters.CharFilter()
    workspace = django_filters.CharFilter()
    # Through the repository, by whose id tasks are indexed.
    repo = django_filters.CharFilter("repository__slug")
    branch = django_filters.CharFilter()
    task_kind = django_filters.ChoiceFilter(choices=TaskKind.choices)
    state = django_filters.ChoiceFilter(
        choices=[*TaskState.choices, (UNFINISHED, "Queued or running")], method="filter_state"
    )
    origin = django_filters.ChoiceFilter(choices=Origin.choices)
    run_id = django_filters.CharFilter()
    lease_id = django_filters.CharFilter()
    sweep = IdFilter("sweep_id")
    error_class = django_filters.CharFilter("last_error_class")
    error_code = django_filters.CharFilter("last_error_code")
    idempotency_key = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    since = since_filter("created_at")
    until = until_filter("created_at")

    class Meta:
        model = ReconciliationTask
        fields: tuple[str, ...] = ()

    def filter_state(self, rows: QuerySet[Model], _: str, value: str) -> QuerySet[Model]:
        """Keep tasks in a state."""
        if value == UNFINISHED:
            return rows.filter(state__in=(TaskState.QUEUED, TaskState.RUNNING))
        return rows.filter(state=value)


class SweepFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/sweeps`."""

    trigger = django_filters.ChoiceFilter(choices=SweepTrigger.choices)
    scope = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    since = since_filter("started_at")
    until = until_filter("started_at")

    class Meta:
        model = Sweep
        fields: tuple[str, ...] = ()


class DeliveryFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/deliveries`."""

    tenant = django_filters.CharFilter("source__tenant__slug")
    repo = django_filters.CharFilter(
        method="about_repository", label="What it made us read, or whose own source it came to."
    )
    webhook_source = IdFilter("source_id")
    host_kind = django_filters.CharFilter("source__host_kind")
    delivery_id = django_filters.CharFilter()
    event = django_filters.CharFilter()
    outcome = django_filters.ChoiceFilter(choices=DeliveryOutcome.choices)
    applied = YesNoFilter("applied_at", lookup_expr="isnull", exclude=True)
    correlation_id = django_filters.CharFilter()
    since = since_filter("received_at")
    until = until_filter("received_at")

    class Meta:
        model = WebhookDelivery
        fields: tuple[str, ...] = ()

    def about_repository(
        self, rows: QuerySet[WebhookDelivery], _: str, value: str
    ) -> QuerySet[WebhookDelivery]:
        """Narrow to one repository's; those that asked for no work are known by their source."""
        return rows.filter(Q(task__repo=value) | Q(source__repository__slug=value))


class RunFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/runs`."""

    tenant = django_filters.CharFilter("repository__tenant__slug")
    repo = django_filters.CharFilter("repository__slug")
    branch = django_filters.CharFilter()
    run_id = django_filters.CharFilter()
    status = django_filters.CharFilter(label="running, succeeded, failed or abandoned")
    actor = django_filters.CharFilter()
    lease_id = django_filters.CharFilter()
    head_sha = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    since = since_filter("started_at")
    until = until_filter("started_at")

    class Meta:
        model = RunRecord
        fields: tuple[str, ...] = ()
