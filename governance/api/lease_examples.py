"""Examples of the leases API, for its schema."""

from drf_spectacular.utils import OpenApiExample

ACQUIRE = OpenApiExample(
    "A branch",
    request_only=True,
    value={
        "repo": "api",
        "scope": "branch-level",
        "branch": "reach/login/20260302",
        "owner": {"user_id": "alice", "device_id": "laptop", "agent_id": "reach-cli"},
        "ttl_seconds": 900,
        "lease_id": "lse_5f0c7a1e",
        "holder_token": "b0bdW9yIGEgc2VjcmV0IG9mIHlvdXIgb3du",
    },
)
ACQUIRE_PATHS = OpenApiExample(
    "Paths of a branch",
    request_only=True,
    value={
        "repo": "api",
        "scope": "path-prefix",
        "branch": "main",
        "paths": ["services/billing", "docs/billing"],
        "owner": {"user_id": "bob"},
    },
)
_LEASE = {
    "lease_id": "lse_5f0c7a1e",
    "tenant": "acme",
    "workspace": "main",
    "repo": "api",
    "scope": "branch-level",
    "branch": "reach/login/20260302",
    "paths": [],
    "owner": {"user_id": "alice", "device_id": "laptop", "agent_id": "reach-cli"},
    "run_id": "",
    "state": "held",
    "fencing_token": 42,
    "ttl_seconds": 900,
    "acquired_at": "2026-03-02T12:00:00.000000Z",
    "expires_at": "2026-03-02T12:15:00.000000Z",
    "max_expires_at": "2026-03-02T20:00:00.000000Z",
    "last_heartbeat_at": "2026-03-02T12:00:00.000000Z",
    "renewals": 0,
    "ended_at": None,
    "end_reason": "",
    "correlation_id": "0195566b-6c00-7000-8000-000000000000",
    "server_time": "2026-03-02T12:00:00.000000Z",
    "renew_after": "2026-03-02T12:10:00.000000Z",
    "push_command": (
        "git push --force-with-lease=refs/heads/reach/login/20260302:"
        "9fceb02d0ae598e95dc970b74767f19372d61af8 origin HEAD:refs/heads/reach/login/20260302"
    ),
}
GRANTED = OpenApiExample("Granted", response_only=True, status_codes=["200", "201"], value=_LEASE)
HELD = OpenApiExample(
    "Held by somebody else",
    response_only=True,
    status_codes=["409"],
    media_type="application/problem+json",
    value={
        "type": "urn:reconciler:problem:lease_already_held",
        "title": "Conflict",
        "status": 409,
        "code": "lease_already_held",
        "detail": (
            "bob/desktop/web-agent holds lease lse_1 (branch-level) on reach/login/20260302 until"
            " 2026-03-02 12:10:00 UTC."
        ),
        "correlation_id": "0195566b-6c00-7000-8000-000000000000",
    },
)
CHECK = OpenApiExample(
    "Before a push",
    request_only=True,
    value={
        "repo": "api",
        "branch": "reach/login/20260302",
        "fencing_token": 42,
        "sha": "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "paths": ["auth/login.py"],
    },
)
REFUSED = OpenApiExample(
    "Fenced off",
    response_only=True,
    status_codes=["200"],
    value={
        "allowed": False,
        "reason": "stale_fencing_token",
        "detail": "Fencing token 41 is older than 42 of lease lse_1, which bob holds now.",
        "lease_id": "lse_1",
        "owner": {"user_id": "bob", "device_id": "", "agent_id": ""},
        "fencing_token": 42,
        "expires_at": "2026-03-02T12:15:00.000000Z",
        "server_time": "2026-03-02T12:03:00.000000Z",
        "push_command": "",
    },
)
