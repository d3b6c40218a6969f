"""The life of a lease: how long it lasts, when it is due, what proves its holder alive; pure.

What it covers is `lease_scopes`; what it allows is `lease_checks`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from governance.domain.lease_scopes import InvalidLease
from governance.domain.policy import LeaseRules

MIN_HOLDER_TOKEN = 32
MIN_BREAK_REASON = 10

_LEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_HOLDER_TOKEN = re.compile(r"[\x21-\x7e]{32,200}")
# Its address would be that of another call: POST leases/check.
_RESERVED_IDS = frozenset({"check"})
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lease: a person, the device they work on, the agent that works for them."""

    user_id: str
    device_id: str = ""
    agent_id: str = ""

    def __str__(self) -> str:
        """Return the parts that are known, such as `alice/laptop/reach-cli`."""
        return "/".join(part for part in (self.user_id, self.device_id, self.agent_id) if part)


def lease_id(text: str) -> str:
    """Return a well-formed lease id: 1-100 letters, digits and `._:-`.

    Raises:
        InvalidLease: anything else, or a word that is part of an address.
    """
    if not _LEASE_ID.fullmatch(text) or text in _RESERVED_IDS:
        raise InvalidLease(
            "lease_id", "a lease id has 1-100 letters, digits or ._:- and is not `check`"
        )
    return text


def holder_token(text: str) -> str:
    """Return a holder's token that is long enough to be a secret.

    Raises:
        InvalidLease: shorter than 32 or longer than 200 characters, or not visible ASCII.
    """
    if not _HOLDER_TOKEN.fullmatch(text):
        raise InvalidLease(
            "holder_token",
            f"a holder token has {MIN_HOLDER_TOKEN}-200 visible ASCII characters: make it random",
        )
    return text


def ttl_within(rules: LeaseRules, requested_seconds: int | None) -> int:
    """Return the TTL in seconds: what was asked for when the policy allows it, else its default.

    Raises:
        InvalidLease: outside the policy's bounds. It is not clamped: the caller plans by it.
    """
    if requested_seconds is None:
        return rules.default_ttl_seconds
    if not rules.min_ttl_seconds <= requested_seconds <= rules.max_ttl_seconds:
        raise InvalidLease(
            "ttl_seconds",
            f"{requested_seconds} s is outside of the policy's {rules.min_ttl_seconds}"
            f"-{rules.max_ttl_seconds} s",
        )
    return requested_seconds


def life_cap(rules: LeaseRules, *, acquired_at: datetime) -> datetime:
    """Return the instant beyond which no renewal goes."""
    return acquired_at + timedelta(seconds=rules.max_life_seconds)


def renewed_expiry(*, now: datetime, ttl_seconds: int, max_expires_at: datetime) -> datetime:
    """Return a full TTL from now, or the total-life cap when that is sooner."""
    return min(now + timedelta(seconds=ttl_seconds), max_expires_at)


def renew_after(expires_at: datetime, *, ttl_seconds: int, renew_at_ttl_fraction: int) -> datetime:
    """Return the instant at which exactly 1/n of the TTL is left: renew from then on."""
    return expires_at - timedelta(seconds=ttl_seconds) / renew_at_ttl_fraction


def is_expiring(
    expires_at: datetime, *, ttl_seconds: int, renew_at_ttl_fraction: int, now: datetime
) -> bool:
    """Return whether at most 1/n of the TTL is left, or none at all."""
    return now >= renew_after(
        expires_at, ttl_seconds=ttl_seconds, renew_at_ttl_fraction=renew_at_ttl_fraction
    )


def is_over(expires_at: datetime, *, now: datetime) -> bool:
    """Return whether a lease has run out. At `expires_at` itself it has."""
    return now >= expires_at


def alive_until(heard_at: datetime, *, heartbeat_seconds: int) -> datetime:
    """Return the instant up to which a heartbeat proves life; at that instant it no longer does."""
    return heard_at + timedelta(seconds=heartbeat_seconds)


def proof_of_life(
    last_heartbeat_at: datetime,
    *,
    run_heartbeats: Iterable[datetime],
    now: datetime,
    heartbeat_seconds: int,
) -> str:
    """Return what proves that a lease's operation is alive: `running_run`, `heartbeat` or nothing.

    `run_heartbeats` are those of *running* runs: a run proves life by its own heartbeat, and one
    that stopped sending any is dead. The lease's own heartbeat proves it whatever became of its
    runs: the holder may be at the next one.
    """
    if any(
        now < alive_until(heard, heartbeat_seconds=heartbeat_seconds) for heard in run_heartbeats
    ):
        return "running_run"
    return (
        "heartbeat"
        if now < alive_until(last_heartbeat_at, heartbeat_seconds=heartbeat_seconds)
        else ""
    )


def lock_delay_left(over_since: datetime, *, lock_delay_seconds: int, now: datetime) -> int:
    """Return for how many more seconds, rounded up, a place stays locked; 0 when it is free.

    The old holder may still be pushing when its lease has just run out or was broken.
    """
    free_at = over_since + timedelta(seconds=lock_delay_seconds)
    return max(0, -((now - free_at) // _SECOND))
