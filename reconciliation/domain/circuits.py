"""When a host or a credential counts as down, when it is tried again, and when it is back; pure.

One circuit stands for one tenant, one host and one credential. Closed: work flows. Open: nothing
is asked, what needs the host waits. Half-open: one task asks; its answer decides.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

OPENS_AFTER = 3
"""So many tasks in a row, each another one, must have failed."""

WINDOW = timedelta(minutes=15)
"""Failures further apart than this are not one outage."""

FIRST_PROBE_AFTER = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=10)
PROBE_LASTS = timedelta(minutes=5)
"""A probe that has told nothing by then is given up, and another one is sent."""

THROTTLED_WAIT = timedelta(seconds=60)
"""The wait for a host that asks for patience and names no time."""

LONGEST_THROTTLE = timedelta(hours=24)

NEEDING_THE_HOST = ("head_drift", "observe_refs", "stale_branch")
"""Task kinds that read the host. The others go on: a lease runs out whether or not a host answers,
and an alert that is known must not fall silent because of an outage."""

MENDED_BY_THE_HOST = (
    "remote_auth_failed",
    "remote_malformed",
    "remote_throttled",
    "remote_unavailable",
)
"""Error codes that a host, or a credential, that is back mends."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/?#]*@)?([^/?#]*)")
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(\[[^\]]+\]|[^/:]+):(?!//)")


class CircuitState(StrEnum):
    """Whether tasks may ask the host."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Shown(StrEnum):
    """What reading one repository showed of its host and credential."""

    ANSWERED = "answered"
    FAILED = "failed"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one task saw. `asked_at`: when it was claimed; what it saw is no older."""

    task_id: int
    repository_id: int
    shown: Shown
    asked_at: datetime
    code: str = ""
    message: str = ""
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One task that failed since the host last answered."""

    task_id: int
    repository_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CircuitFacts:
    """The state of one circuit. `failed_probes` counts since it opened; `failures` while closed."""

    key: str
    state: CircuitState = CircuitState.CLOSED
    failures: tuple[Failure, ...] = ()
    cause: str = ""
    message: str = ""
    opened_at: datetime | None = None
    next_probe_at: datetime | None = None
    failed_probes: int = 0

    @property
    def is_open(self) -> bool:
        """Whether tasks wait."""
        return self.state is not CircuitState.CLOSED


def origin_of(clone_url: str) -> str:
    """Return scheme, host and port of a clone URL, or `local` for a folder; never a user name."""
    if found := _SCHEME.match(clone_url):
        return f"{found.group(1)}://{found.group(2)}".lower() if found.group(2) else "local"
    found = _SCP_LIKE.match(clone_url)
    return f"ssh://{found.group(1)}".lower() if found else "local"


def circuit_key(*, tenant: str, origin: str, credential_id: int | None) -> str:
    """Return what tells circuits apart: a tenant's trouble never stops another tenant's work."""
    return f"{tenant} {origin} {credential_id or 'anonymous'}"


def shown_by(code: str, *, with_credential: bool) -> Shown | None:
    """Return what an error code shows of the host, or None: it shows nothing.

    A repository that is not there is an answer. A login asked of somebody who brought none is a
    matter of that repository; a credential that is refused is refused for all.
    """
    if code == "remote_throttled":
        return Shown.THROTTLED
    if code == "remote_not_found":
        return Shown.ANSWERED
    if code == "remote_auth_failed":
        return Shown.FAILED if with_credential else None
    return Shown.FAILED if code in MENDED_BY_THE_HOST else None


def after(
    circuit: CircuitFacts, evidence: Sequence[Evidence], *, repositories: int, now: datetime
) -> CircuitFacts:
    """Return the circuit after what one batch of tasks saw of it.

    `repositories` is how many are behind it: when there are several, failures of one repository
    alone do not open it. In one batch reads run side by side, so one answer outweighs failures.
    """
    throttled = [one for one in evidence if one.shown is Shown.THROTTLED]
    failed = [one for one in evidence if one.shown is Shown.FAILED]
    answered = [one for one in evidence if one.shown is Shown.ANSWERED]
    if throttled:
        return _throttled(circuit, throttled, now=now)
    if circuit.is_open:
        since = circuit.opened_at or now
        if any(one.asked_at >= since for one in answered):
            return CircuitFacts(circuit.key)
        if failed and circuit.state is CircuitState.HALF_OPEN:
            return _open(circuit, failed[-1], now=now)
        return circuit
    if answered:
        return CircuitFacts(circuit.key)
    if not failed:
        return circuit
    failures = _in_a_row(circuit.failures, failed, now=now)
    several = len({one.repository_id for one in failures}) > 1
    if len(failures) >= OPENS_AFTER and (several or repositories <= 1):
        return _open(circuit, failed[-1], now=now)
    return replace(circuit, failures=failures[-OPENS_AFTER:])


def probe_wait(key: str, failed_probes: int) -> timedelta:
    """Return the wait for the next probe: 30 s, doubled up to 10 minutes.

    Half of it is fixed and half drawn from key and number, so that the circuits of many tenants on
    one host do not probe it together.
    """
    ceiling = min(LONGEST_WAIT, FIRST_PROBE_AFTER * (1 << min(failed_probes, 20)))
    draw = int.from_bytes(hashlib.sha256(f"{key}:{failed_probes}".encode()).digest()[:4], "big")
    return ceiling / 2 + ceiling / 2 * draw / 0xFFFFFFFF


def half_opened(circuit: CircuitFacts, *, now: datetime) -> CircuitFacts:
    """Return the circuit with one task on its way to the host."""
    return replace(circuit, state=CircuitState.HALF_OPEN, next_probe_at=now + PROBE_LASTS)


def severity_of(cause: str) -> str:
    """Return how bad it is that a circuit is open: a host that asks for patience is not down."""
    return "medium" if cause == "remote_throttled" else "high"


def _open(circuit: CircuitFacts, last: Evidence, *, now: datetime) -> CircuitFacts:
    failed_probes = circuit.failed_probes + 1 if circuit.is_open else 0
    return CircuitFacts(
        circuit.key,
        CircuitState.OPEN,
        cause=last.code,
        message=last.message,
        opened_at=circuit.opened_at if circuit.is_open else now,
        next_probe_at=now + probe_wait(circuit.key, failed_probes),
        failed_probes=failed_probes,
    )


def _throttled(
    circuit: CircuitFacts, throttled: Sequence[Evidence], *, now: datetime
) -> CircuitFacts:
    waits = [
        THROTTLED_WAIT
        if one.retry_after_seconds is None
        else timedelta(seconds=max(1, one.retry_after_seconds))
        for one in throttled
    ]
    until = now + min(LONGEST_THROTTLE, max(waits))
    if circuit.state is CircuitState.OPEN and circuit.next_probe_at is not None:
        until = max(until, circuit.next_probe_at)
    opened = _open(circuit, throttled[-1], now=now)
    return replace(opened, next_probe_at=until)


def _in_a_row(
    known: Sequence[Failure], failed: Sequence[Evidence], *, now: datetime
) -> tuple[Failure, ...]:
    """Return the failures since the last answer, one of each task, the newest last."""
    latest = {one.task_id: one for one in known if now - one.at <= WINDOW}
    for one in failed:
        latest.pop(one.task_id, None)
        latest[one.task_id] = Failure(one.task_id, one.repository_id, now)
    return tuple(latest.values())
