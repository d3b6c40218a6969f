"""A source's host kind, as stored, is the dialect that reads it."""

from governance.models import HostKind as StoredHostKind
from reconciliation.webhooks.dialects import DIALECTS
from reconciliation.webhooks.hosts import HostKind


def test_every_stored_host_kind_has_a_dialect_and_the_other_way_round() -> None:
    assert set(StoredHostKind.values) == {host.value for host in HostKind}
    assert set(DIALECTS) == set(HostKind)
