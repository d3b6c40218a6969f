"""Addresses of the governance API, below api/v1/."""

from django.urls import path, re_path

from governance.api.leases import (
    LeaseBreak,
    LeaseCheck,
    LeaseDetail,
    LeaseHeartbeat,
    LeaseRelease,
    Leases,
)
from governance.api.policies import policy_urlpatterns

# Only what can be a lease id: no other text ever reaches the database as one.
_LEASE = r"leases/(?P<lease_id>[A-Za-z0-9][A-Za-z0-9._:-]{0,99})"

urlpatterns = [
    path("leases", Leases.as_view(), name="leases"),
    path("leases/check", LeaseCheck.as_view(), name="lease-check"),
    re_path(rf"^{_LEASE}\Z", LeaseDetail.as_view(), name="lease"),
    re_path(rf"^{_LEASE}/heartbeat\Z", LeaseHeartbeat.as_view(), name="lease-heartbeat"),
    re_path(rf"^{_LEASE}/release\Z", LeaseRelease.as_view(), name="lease-release"),
    re_path(rf"^{_LEASE}/break\Z", LeaseBreak.as_view(), name="lease-break"),
    *policy_urlpatterns,
]
