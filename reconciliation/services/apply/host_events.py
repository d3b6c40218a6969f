"""Applies what hosts announced besides heads: pull requests, gate results, names; plans nothing."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from governance.services.host_events import (
    AnnouncedGate,
    AnnouncedPullRequest,
    record_gates,
    record_pull_requests,
    record_repository_facts,
)
from reconciliation.domain.activity import if_true
from reconciliation.models import WebhookDelivery
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.observe.values import Seen
from reconciliation.webhooks.events import EventKind, NormalisedEvent

_STRAGGLERS = timedelta(hours=1)
"""How long a delivery may be on its way: for so long the name before a rename is not believed."""


def apply_host_events(one: Worked, sight: Seen, effects: Effects, *, now: datetime) -> None:
    """Store what the deliveries of one observation announced about other things than heads.

    What is about another repository, by the host's id or on another kind of host, is left out.
    """
    pk = one.task.repository_id
    who = _identity(sight)
    timed = [
        (delivery.received_at, event)
        for delivery in sight.deliveries
        for event in delivery.events
        if (delivery.host_kind, event.repository.host_id or who[1]) == who
    ]
    record_pull_requests(
        [_pull_request(pk, event, now=now) for _, event in timed if event.pull_request], now=now
    )
    record_gates(
        [
            AnnouncedGate(
                repository_id=pk,
                sha=event.status.sha,
                context=event.status.context,
                state=event.status.state,
                announced_at=_moment(event.occurred_at, now=now) or received_at,
            )
            for received_at, event in timed
            if event.status
        ]
    )
    telling = telling_event([event for _, event in timed])
    if telling is not None:
        _apply_names(one, telling, effects, host_kind=who[0], now=now)


def _identity(sight: Seen) -> tuple[str, str]:
    """Return the kind of host and the stable id there; the first delivery teaches them."""
    place = sight.repository
    if place.host_repository_id:
        return (place.host_kind, place.host_repository_id)
    named = [
        (delivery.host_kind, event.repository.host_id)
        for delivery in sight.deliveries
        for event in delivery.events
        if event.repository.host_id
    ]
    return named[0] if named else (place.host_kind, "")


def telling_event(events: Sequence[NormalisedEvent]) -> NormalisedEvent | None:
    """Return the event that says what the repository is called now, of some in order of receipt.

    Events come in any order. What the host says of a rename outranks names mentioned in passing,
    and one mentioned in passing that a rename in the same batch did away with is an old one.
    """
    renames = [event for event in events if event.change and event.change.new_full_name]
    if all(event.occurred_at for event in renames):
        renames.sort(key=lambda event: event.occurred_at or "")
    former = {event.change.old_full_name for event in renames if event.change}
    newest = renames[-1] if renames else None
    for event in reversed(events):
        if event is newest or (not event.change and event.repository.full_name not in former):
            return event
    return newest


def _apply_names(
    one: Worked, event: NormalisedEvent, effects: Effects, *, host_kind: str, now: datetime
) -> None:
    named, change, pk = event.repository, event.change, one.task.repository_id
    name = (change.new_full_name if change else None) or named.full_name or ""
    changed = record_repository_facts(
        pk,
        host_kind=host_kind,
        host_repository_id=named.host_id or "",
        full_name=name,
        # The heads just read say which branch is the default; the event may be older.
        default_branch="",
        former_name=(change.old_full_name if change else None) or "",
        is_outdated=lambda current: change is None and _was_renamed(pk, name, current, now=now),
    )
    if changed.keys() - {"host_kind", "host_repository_id"}:
        effects.entries.append(
            entry_of(
                one.task,
                now=now,
                action="repository.change",
                object_kind="repository",
                object_id=str(pk),
                reason="announced by its host",
                data={field: list(values) for field, values in sorted(changed.items())},
            )
        )


def _was_renamed(repository_id: int, name: str, current: str, *, now: datetime) -> bool:
    """Return whether a rename announced lately led from `name` to `current`."""
    rows = WebhookDelivery.objects.filter(
        task__repository_id=repository_id,
        received_at__gt=now - _STRAGGLERS,
        events__contains=f'"old_full_name": {json.dumps(name, ensure_ascii=False)}',
    )
    return any(
        event.change is not None
        and (event.change.old_full_name, event.change.new_full_name) == (name, current)
        for text in rows.order_by("id").values_list("events", flat=True)
        for event in _events(text)
    )


def _events(text: str) -> Iterator[NormalisedEvent]:
    return (NormalisedEvent.from_json(event) for event in json.loads(text))


def _pull_request(
    repository_id: int, event: NormalisedEvent, *, now: datetime
) -> AnnouncedPullRequest:
    request = event.pull_request
    if request is None or event.kind is not EventKind.PULL_REQUEST:
        raise ValueError("only pull request events describe pull requests")
    return AnnouncedPullRequest(
        repository_id=repository_id,
        number=request.number,
        title=request.title or "",
        author=request.author or "",
        state=request.state,
        head_branch=request.head_branch or "",
        head_sha=request.head_sha or "",
        head_repository=request.head_repository or "",
        from_fork=request.from_fork,
        base_branch=request.base_branch or "",
        base_sha=request.base_sha or "",
        merge_sha=(request.merge_sha or "") if request.merged else "",
        merged_at=_moment(request.merged_at, now=now),
        labels=request.labels,
        # Azure DevOps dates the event only.
        host_updated_at=(
            _moment(request.updated_at, now=now) or _moment(event.occurred_at, now=now)
        ),
    )


def _moment(text: str | None, *, now: datetime) -> datetime | None:
    """Return a moment that can be true: one in the future would outrank all that comes later."""
    return if_true(datetime.fromisoformat(text), now=now) if text else None
