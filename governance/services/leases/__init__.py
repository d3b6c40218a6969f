"""What may be done with leases: by their holders, by admins, by the reconciler, by gates."""

from governance.services.leases.acquiring import (
    Grant,
    LeaseAlreadyHeld,
    LeaseIdTaken,
    LockDelayed,
    acquire_lease,
)
from governance.services.leases.checking import check_lease, safe_push_for
from governance.services.leases.holding import (
    LeaseEnded,
    LeaseNotFound,
    MayNotBreak,
    NotTheHolder,
    ReasonTooShort,
    break_lease,
    heartbeat_lease,
    release_lease,
)
from governance.services.leases.reconciling import (
    ExpiredLease,
    LeaseMoved,
    expire_lease,
    lock_leases,
    renew_lease_by_reconciler,
)

__all__ = [
    "ExpiredLease",
    "Grant",
    "LeaseAlreadyHeld",
    "LeaseEnded",
    "LeaseIdTaken",
    "LeaseMoved",
    "LeaseNotFound",
    "LockDelayed",
    "MayNotBreak",
    "NotTheHolder",
    "ReasonTooShort",
    "acquire_lease",
    "break_lease",
    "check_lease",
    "expire_lease",
    "heartbeat_lease",
    "lock_leases",
    "release_lease",
    "renew_lease_by_reconciler",
    "safe_push_for",
]
