"""Which query parameters narrow the list of leases; all are exact."""

import django_filters

from governance.models import Lease, LeaseScope, LeaseState


class LeaseFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/leases`."""

    tenant = django_filters.CharFilter(field_name="repository__tenant__slug")
    workspace = django_filters.CharFilter(field_name="repository__workspace__slug")
    repo = django_filters.CharFilter(field_name="repository__slug")
    branch = django_filters.CharFilter()
    scope = django_filters.ChoiceFilter(choices=LeaseScope.choices)
    state = django_filters.ChoiceFilter(choices=LeaseState.choices)
    user_id = django_filters.CharFilter()
    agent_id = django_filters.CharFilter()
    run_id = django_filters.CharFilter()

    class Meta:
        model = Lease
        fields: tuple[str, ...] = ()
