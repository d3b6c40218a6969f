"""Replays deliveries: reads them again as they were received, and plans what they ask for now.

For what was ignored, not understood or lost to a dead letter, and for looking again. The body is
read anew while it is kept, else what was understood of it then. Nothing is verified again: it was
when it came, and the body that is read must still have the hash it had.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append, append_one
from governance.selectors.branch_facts import repositories_by_id
from reconciliation.models import TaskState, WebhookDelivery
from reconciliation.selectors.deliveries import DeliveryChoice, chosen_deliveries
from reconciliation.services.dead_letters import requeue_redelivered
from reconciliation.services.intake_again import plan_again
from reconciliation.services.intake_work import Wanted, wanted_by
from reconciliation.webhooks.dialects import parse
from reconciliation.webhooks.events import Announcement, NormalisedEvent
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody

MIN_REASON = 10
DEFAULT_CAP = 100
LARGEST_CAP = 1000
_ON_ITS_WAY = frozenset({TaskState.QUEUED.value, TaskState.RUNNING.value})


class NotAllowed(Exception):
    """Replaying deliveries needs the scope `tasks`."""


class ReasonTooShort(ValueError):
    """Replaying needs a reason of at least 10 characters: others will read it."""


class NothingChosen(ValueError):
    """A replay of everything is never meant: name deliveries, or narrow them."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one delivery, or would become.

    `outcome`: `planned` (an observation was queued), `requeued` (the dead one came back),
    `waiting` (it is on its way already), `nothing` (it asks for none; see `reason`), or
    `unreadable`.
    """

    delivery: int
    outcome: str
    reason: str
    tenant: str
    repo: str
    subject: str
    branches: tuple[str, ...]
    task: int | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did; `left` is how many of those chosen lie beyond the cap."""

    deliveries: tuple[Replayed, ...]
    left: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Read:
    announcement: Announcement
    wanted: Wanted


def replay_deliveries(
    choice: DeliveryChoice,
    *,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
    cap: int = DEFAULT_CAP,
    dry_run: bool = False,
) -> Replay:
    """Replay the deliveries that a choice means, oldest first, at most `cap` of them.

    Each is planned and audited in a transaction of its own: what was planned stays planned. A dry
    run needs no reason and changes nothing.

    Raises:
        NotAllowed, ReasonTooShort, NothingChosen: nothing was changed.
    """
    if not caller.has_scope("tasks"):
        raise NotAllowed("Replaying deliveries needs the scope `tasks`.")
    if not dry_run and len(reason.strip()) < MIN_REASON:
        raise ReasonTooShort("Give a reason of at least 10 characters: others will read it.")
    if not choice.narrowing:
        raise NothingChosen("Name deliveries, or narrow them by source, repository or time.")
    rows = chosen_deliveries(caller, choice)
    chosen = list(rows.values_list("pk", "source__tenant__slug")[: min(cap, LARGEST_CAP)])
    left = max(0, rows.count() - len(chosen))
    if dry_run:
        would_be = tuple(_preview(_loaded(pk)) for pk, _ in chosen)
        return Replay(would_be, left, dry_run)
    _announce(chosen, choice, caller, reason, correlation_id, now=now)
    # One by one: a body may be large, and what was planned stays planned whatever comes after it.
    done = tuple(
        _replay(_loaded(pk), caller=caller, reason=reason, act=correlation_id, now=now)
        for pk, _ in chosen
    )
    return Replay(done, left, dry_run)


def _loaded(pk: int) -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("source__tenant", "task").get(pk=pk)


def _preview(row: WebhookDelivery) -> Replayed:
    read = _read(row)
    return _told(row, read, _fate(row, read), row.task_id)


def _replay(
    row: WebhookDelivery, *, caller: Caller, reason: str, act: str, now: datetime
) -> Replayed:
    read = _read(row)
    fate, task_id = _fate(row, read), row.task_id
    with transaction.atomic():
        if fate == "requeued" and task_id is not None:
            requeue_redelivered(
                task_id,
                actor=caller.actor,
                act=act,
                reason=f"replay: {reason.strip()}"[:500],
                run_after=now,
                now=now,
            )
        elif fate == "planned":
            task_id = plan_again(
                row.pk,
                read.wanted,
                read.announcement.events,
                renewed={},
                correlation_id=row.correlation_id,
                run_after=now,
                now=now,
            )
        told = _told(row, read, fate, task_id)
        repository = read.wanted.repository
        append_one(
            Entry(
                tenant=told.tenant,
                at=now,
                actor=caller.actor,
                action="delivery.replay",
                object_kind="delivery",
                object_id=str(row.pk),
                correlation_id=row.correlation_id,
                outcome=fate,
                reason=reason.strip(),
                workspace=repository.workspace if repository else "",
                repo=told.repo,
                data={"act": act, "subject": told.subject, "task": task_id},
            )
        )
    return told


def _fate(row: WebhookDelivery, read: _Read) -> str:
    if not read.wanted.is_understood:
        return "unreadable"
    if not read.wanted.subject:
        return "nothing"
    if row.task is not None and row.applied_at is None:
        if row.task.state == TaskState.DEAD:
            return "requeued"
        if row.task.state in _ON_ITS_WAY:
            return "waiting"
    return "planned"


def _told(row: WebhookDelivery, read: _Read, fate: str, task_id: int | None) -> Replayed:
    repository = read.wanted.repository
    branches = {event.branch for event in read.announcement.events if event.branch}
    return Replayed(
        delivery=row.pk,
        outcome=fate,
        reason=read.wanted.reason,
        tenant=row.source.tenant.slug,
        repo=repository.slug if repository else "",
        subject=read.wanted.subject,
        branches=tuple(sorted(branches)),
        task=task_id,
        correlation_id=row.correlation_id,
    )


def _read(row: WebhookDelivery) -> _Read:
    host = HostKind(row.source.host_kind)
    own_id = row.source.repository_id
    try:
        announcement = _announcement(row, host)
    except MalformedBody as error:
        nothing = Announcement(row.event, row.delivery_id, "ignored", error.code, ())
        return _Read(nothing, Wanted(None, "", str(error), is_understood=False))
    return _Read(
        announcement,
        wanted_by(
            announcement,
            tenant_id=row.source.tenant_id,
            host=host,
            own_repository=repositories_by_id([own_id])[own_id] if own_id else None,
        ),
    )


def _announcement(row: WebhookDelivery, host: HostKind) -> Announcement:
    if row.body is not None:
        body = _kept_body(row)
        if hashlib.sha256(body).hexdigest() != row.body_sha256:
            raise MalformedBody("body_altered", "the body kept is not the one that was verified")
        return parse(host, Headers(json.loads(row.headers).items()), body)
    events = tuple(NormalisedEvent.from_json(event) for event in json.loads(row.events))
    if not events and row.outcome == "malformed":
        raise MalformedBody("body_gone", "it was never understood and its body is kept no more")
    return Announcement(
        event_name=row.event,
        delivery_id=row.delivery_id,
        outcome="accepted" if events else "ignored",
        reason="ok" if events else row.reason,
        events=events,
    )


def _kept_body(row: WebhookDelivery) -> bytes:
    # Never more than was received: what is stored may have been changed into a bomb since.
    packed = zlib.decompressobj()
    try:
        body = packed.decompress(bytes(row.body or b""), row.body_bytes + 1)
    except zlib.error as error:
        raise MalformedBody("body_altered", f"the body kept cannot be unpacked: {error}") from error
    return body


def _announce(
    chosen: Sequence[tuple[int, str]],
    choice: DeliveryChoice,
    caller: Caller,
    reason: str,
    correlation_id: str,
    *,
    now: datetime,
) -> None:
    """Say in the trail of each tenant what was asked for, before anything of it is done."""
    by_tenant: dict[str, list[int]] = {}
    for pk, tenant in chosen:
        by_tenant.setdefault(tenant, []).append(pk)
    with transaction.atomic():
        append(
            [
                Entry(
                    tenant=tenant,
                    at=now,
                    actor=caller.actor,
                    action="deliveries.replay",
                    object_kind="deliveries",
                    object_id=correlation_id,
                    correlation_id=correlation_id,
                    reason=reason.strip(),
                    data={"choice": choice.narrowing, "deliveries": ids},
                )
                for tenant, ids in sorted(by_tenant.items())
            ]
        )
