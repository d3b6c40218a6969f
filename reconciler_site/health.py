"""Liveness and readiness: each part told apart, with its age and a reason; changes nothing."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.domain.canonical import utc_text
from reconciler_site.base.disks import disks
from reconciliation.selectors.heartbeats import SILENCE, heartbeats, longest_due_since

logger = logging.getLogger("reconciler.health")

Status = Literal["ok", "failing", "unknown"]

# The tick comes every minute, and django-q2 looks for what is due every 30 s.
SWEEP_OVERDUE = timedelta(minutes=15)

# Without these nothing can be answered; without the others answers are merely old.
NEEDED_TO_SERVE = frozenset({"web", "database", "database_disk", "migrations"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the machinery; `as_of` is when it was last known to be as `status` says."""

    name: str
    status: Status
    reason: str
    as_of: datetime | None


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Tell that this process answers; looks at nothing else, so that it is never restarted for it.

    Source: liveness asks "would a restart of this process help?"; a database that is down would
    not be helped.
    """
    return JsonResponse({"status": "ok", "as_of": utc_text(datetime.now(UTC))})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Tell whether requests can be served: 200 `ready` or `degraded`, 503 `not_ready`.

    A silent worker or a late sweep degrades but does not take the site out of service: webhooks
    must still be taken in. Who wants 503 for those too asks with `?require=all`, or names parts:
    `?require=worker,sweeps`.
    """
    now = datetime.now(UTC)
    parts = list(_parts(now))
    required = _required(request.GET.get("require", ""), parts)
    failing = [part for part in parts if part.status != "ok"]
    is_ready = not any(part.name in required for part in failing)
    status = "not_ready" if not is_ready else "degraded" if failing else "ready"
    body = {
        "status": status,
        "as_of": utc_text(now),
        "degraded_reasons": [f"{part.name}: {part.reason}" for part in failing],
        "parts": [_shown(part) for part in parts],
    }
    return JsonResponse(body, status=200 if is_ready else 503)


def _parts(now: datetime) -> Iterator[Part]:
    yield Part("web", "ok", "This process answers.", now)
    for disk in disks():
        status: Status = "failing" if disk.is_full else "ok"
        yield Part(f"{disk.holds}_disk", status, disk.reason, now)
    database = _database(now)
    yield database
    if database.status != "ok":
        for name in ("migrations", "worker", "sweeps"):
            yield Part(name, "unknown", "The database does not answer.", None)
        return
    migrations = _migrations(now)
    yield migrations
    try:
        yield from _machinery(now)
    except DatabaseError:
        reason = "The database could not be asked; see migrations."
        yield from (Part(name, "unknown", reason, None) for name in ("worker", "sweeps"))


def _database(now: datetime) -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        # What it says may name hosts and accounts: for the log, not for strangers.
        logger.warning("readyz.database_failed error=%s", error)
        return Part("database", "failing", f"It does not answer ({type(error).__name__}).", now)
    return Part("database", "ok", f"{connection.vendor} answers.", now)


def _migrations(now: datetime) -> Part:
    missing = _missing_migrations()
    if not missing:
        return Part("migrations", "ok", "All are applied.", now)
    reason = f"{len(missing)} are not applied, first {missing[0]}: run `manage.py migrate`."
    return Part("migrations", "failing", reason, now)


def _missing_migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return [
        f"{app}.{name}" for app, name in _migrations_of_this_code() if (app, name) not in applied
    ]


@cache
def _migrations_of_this_code() -> tuple[tuple[str, str], ...]:
    # Without a connection the loader reads files only; they do not change under a running process.
    return tuple(sorted(MigrationLoader(None, ignore_no_migrations=True).graph.nodes))


def _machinery(now: datetime) -> Iterator[Part]:
    beats = heartbeats()
    moved = beats.get("worker")
    if moved is None:
        lost = "It never reported: start `manage.py run_site` or `manage.py reconcile_worker`."
        yield Part("worker", "failing", lost, None)
    else:
        yield _by_age("worker", moved, limit=SILENCE, now=now, what="It last moved")
    yield _sweeps(beats.get("tick"), longest_due_since(), now=now)


def _sweeps(tick: datetime | None, due: datetime | None, *, now: datetime) -> Part:
    if tick is None:
        return Part("sweeps", "failing", "None was ever planned.", None)
    if due is not None and now - due > SWEEP_OVERDUE:
        late = f"The repository that waits longest was due {_age(now - due)} ago."
        return Part("sweeps", "failing", late, tick)
    return _by_age("sweeps", tick, limit=SILENCE, now=now, what="They were last planned")


def _by_age(name: str, at: datetime, *, limit: timedelta, now: datetime, what: str) -> Part:
    status: Status = "ok" if now - at <= limit else "failing"
    return Part(name, status, f"{what} {_age(now - at)} ago.", at)


def _age(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _required(asked: str, parts: list[Part]) -> frozenset[str]:
    if asked == "all":
        return frozenset(part.name for part in parts)
    return NEEDED_TO_SERVE | frozenset(asked.split(","))


def _shown(part: Part) -> dict[str, Any]:
    as_of = utc_text(part.as_of) if part.as_of else None
    return {"name": part.name, "status": part.status, "reason": part.reason, "as_of": as_of}
