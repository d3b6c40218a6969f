"""Starts a sweep now because somebody asked for it; the sweep itself is planned by `sweeps`."""

from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from governance.selectors.visible import NotVisible, visible_repositories
from reconciliation.models import SweepTrigger
from reconciliation.services.sweeps import Budget, PlannedSweep, plan_sweep


class NotAllowed(Exception):
    """Starting a sweep needs the scope `tasks`."""


class ScopeTooWide(ValueError):
    """The caller may not see every tenant, so it has to name one of its own."""


def start_sweep(
    scope: str,
    *,
    everything: bool,
    caller: Caller,
    budget: Budget,
    correlation_id: str,
    now: datetime,
) -> PlannedSweep:
    """Plan a sweep of `tenant[/workspace[/repo]]` now, or of all that the caller may see.

    Nothing due is no sweep: then `row` is None and nothing was stored.

    Raises:
        NotAllowed, ScopeTooWide: nothing was stored.
        NotVisible: the scope names nothing that is governed and the caller's to see.
    """
    if not caller.has_scope("tasks"):
        raise NotAllowed("Starting a sweep needs the scope `tasks`.")
    wanted = scope or _own_scope(caller)
    if wanted:
        _require_visible(wanted, caller)
    with transaction.atomic():
        planned = plan_sweep(
            slot=now,
            scope=wanted,
            everything=everything,
            trigger=SweepTrigger.MANUAL,
            budget=budget,
            correlation_id=correlation_id,
            now=now,
        )
        if planned.row is not None:
            append_one(
                Entry(
                    tenant=wanted.split("/")[0],
                    at=now,
                    actor=caller.actor,
                    action="sweep.start",
                    object_kind="sweep",
                    object_id=str(planned.row.pk),
                    correlation_id=correlation_id,
                    data={"everything": everything, "scope": wanted},
                )
            )
    return planned


def _own_scope(caller: Caller) -> str:
    if caller.tenants is None:
        return ""
    if len(caller.tenants) == 1:
        return next(iter(caller.tenants))
    raise ScopeTooWide("Name a tenant of yours: tenant, tenant/workspace or tenant/workspace/repo.")


def _require_visible(scope: str, caller: Caller) -> None:
    fields = ("tenant__slug", "workspace__slug", "slug")
    parts = scope.split("/")
    rows = visible_repositories(caller).filter(
        **dict(zip(fields, parts, strict=False)), is_active=True
    )
    if len(parts) > len(fields) or not rows.exists():
        raise NotVisible(f"There is nothing governed at {scope[:200]}, or it is not yours to see.")
