"""Short ways to act on leases and runs in tests: the passing case, from which each test departs."""

from datetime import datetime
from typing import Any

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.models import AuditEntry
from governance.domain.lease_scopes import LeaseClaim, lease_claim
from governance.domain.leases import Owner
from governance.domain.policy import DEFAULT_DOCUMENT, LeaseRules, policy_from_document
from governance.models import Lease, Repository
from governance.services.leases import acquire_lease
from tests.factories.governance import CORRELATION_ID, NOON

RULES: LeaseRules = policy_from_document(DEFAULT_DOCUMENT).lease
ALICE = Owner("alice", "laptop", "reach-cli")
BOB = Owner("bob", "desktop", "web-agent")
AGENT = Caller(
    Actor(ActorKind.TOKEN, "agent"),
    frozenset({"acme"}),
    frozenset({"leases", "runs"}),
    run_actors=frozenset({"alice", "reach-cli"}),
)
ADMIN = Caller(Actor(ActorKind.USER, "root"), None, frozenset({"admin"}))


def topic(branch: str = "topic") -> LeaseClaim:
    return lease_claim(scope="branch-level", branch=branch, paths=())


def on_paths(*paths: str, branch: str = "topic") -> LeaseClaim:
    return lease_claim(scope="path-prefix", branch=branch, paths=paths)


WHOLE = lease_claim(scope="repo-wide", branch="", paths=())


def token_of(lease_id: str) -> str:
    return f"holder-token-of-{lease_id}".ljust(40, ".")


def acquire(
    repository: Repository, lease_id: str = "lease-1", *, now: datetime = NOON, **changes: Any
) -> Lease:
    """Acquire a branch-level lease on `topic` for alice, and return it."""
    wanted: dict[str, Any] = {
        "claim": topic(),
        "owner": ALICE,
        "lease_id": lease_id,
        "token": token_of(lease_id),
        "ttl_seconds": None,
        "rules": RULES,
        "caller": AGENT,
        "correlation_id": CORRELATION_ID,
        "now": now,
    }
    return acquire_lease(repository, **wanted | changes).lease


def trail(tenant: str = "acme") -> list[str]:
    """Return what happened in a tenant, oldest first, such as `lease.acquire lease-1`."""
    rows = AuditEntry.objects.filter(tenant=tenant).order_by("seq")
    return [f"{action} {thing}" for action, thing in rows.values_list("action", "object_id")]
