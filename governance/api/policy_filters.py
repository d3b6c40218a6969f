"""Which query parameters narrow the list of published policies; all are exact."""

import django_filters

from governance.models import PolicyVersion


class PolicyVersionFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/policies/versions`."""

    class Meta:
        model = PolicyVersion
        fields = ("layer", "target", "branch_pattern")
