"""Applies observations: stores moved heads and announced facts, plans the checks that follow."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection

from audit.setwise import in_set, rows_source
from governance.domain.policy import branch_class_of
from governance.services.host_events import (
    AnnouncedGate,
    AnnouncedPullRequest,
    record_gates,
    record_pull_requests,
    record_repository_facts,
)
from governance.services.observations import (
    ObservedMove,
    Reading,
    record_late_announcements,
    record_moves,
    record_readings,
)
from governance.services.policies import PolicyResolver
from reconciliation.domain.identity import head_move
from reconciliation.domain.observation import HeadMove
from reconciliation.models import Finding, RepositoryWatch, TaskKind, WebhookDelivery
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.dead_letters import requeue_recovered
from reconciliation.services.observe.values import Seen
from reconciliation.webhooks.events import EventKind, NormalisedEvent

_WATCH = RepositoryWatch._meta.db_table


def apply_observations(
    worked: Sequence[Worked], policies: PolicyResolver, effects: Effects, *, now: datetime
) -> None:
    """Store what was seen, set by set: the cost grows with what changed, not with what exists."""
    seen = {one.task.id: one.gathered.seen for one in worked}
    for one in worked:
        if (sight := seen[one.task.id]) is not None:
            _apply_host_events(one, sight, effects, now=now)
    moved = record_moves(
        [
            _observed_move(one, move, policies)
            for one in worked
            for move in one.gathered.facts.moves
        ],
        now=now,
    )
    readings = [
        Reading(
            one.task.repository_id,
            one.gathered.facts.heads_digest,
            one.gathered.facts.heads_count,
            one.gathered.facts.default_branch,
        )
        for one in worked
    ]
    record_readings(readings, now=now)
    attributed = record_late_announcements(
        [
            (one.task.repository_id, call.branch, call.pusher, call.after)
            for one in worked
            for call in one.gathered.facts.late_announcements
        ]
    )
    # Before the watches forget that these repositories could not be read.
    effects.entries += requeue_recovered([one.task.repository_id for one in worked], now=now)
    _update_watches(worked, moved, seen, now=now)
    _mark_applied([delivery.id for one in seen.values() if one for delivery in one.deliveries], now)
    stale = _branches_with_stale_findings(moved)
    for one in worked:
        _plan_checks(one, seen[one.task.id], moved, attributed, stale, effects, now=now)


def _plan_checks(
    one: Worked,
    sight: Seen | None,
    moved: set[tuple[int, str]],
    attributed: set[tuple[int, str]],
    stale: set[tuple[int, str]],
    effects: Effects,
    *,
    now: datetime,
) -> None:
    task, repository_id = one.task, one.task.repository_id
    about: dict[str, str] = {}
    for branch in sight.branches_to_check if sight else ():
        about[branch] = f"after {task.subject}"
    for call in one.gathered.facts.late_announcements:
        if (repository_id, call.branch) in attributed:
            about[call.branch] = f"attributed {call.after or '-'}"
    for move in one.gathered.facts.moves:
        if (repository_id, move.branch) in moved:
            about[move.branch] = head_move(move.before, move.after, ordinal=move.ordinal)
    for branch, subject in sorted(about.items()):
        kinds = [TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN]
        if (repository_id, branch) in stale:
            kinds.append(TaskKind.STALE_BRANCH)
        for kind in kinds:
            effects.follow_up(task, branch=branch, task_kind=kind, about=subject, run_after=now)


def _observed_move(one: Worked, move: HeadMove, policies: PolicyResolver) -> ObservedMove:
    policy = policies.for_branch(one.task.repository_id, move.branch)
    default_branch = one.gathered.facts.default_branch
    return ObservedMove(
        repository_id=one.task.repository_id,
        branch=move.branch,
        branch_class=branch_class_of(move.branch, default_branch=default_branch, policy=policy),
        head=move.after,
        announced_by=move.announced_by,
        pusher=move.pusher[:200],
    )


def _update_watches(
    worked: Sequence[Worked],
    moved: set[tuple[int, str]],
    seen: Mapping[int, Seen | None],
    *,
    now: datetime,
) -> None:
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    last: dict[int, datetime | None] = {}
    for one in worked:
        pk = one.task.repository_id
        for move in one.gathered.facts.moves:
            if (pk, move.branch) in moved:
                counts[pk][0 if move.announced_by == "webhook" else 1] += 1
        sight = seen[one.task.id]
        times = [delivery.received_at for delivery in sight.deliveries] if sight else []
        last[pk] = max(times, default=None)
    rows = [(pk, counts[pk][0], counts[pk][1], last[pk], now) for pk in sorted(last)]
    columns = {
        "repository_id": "bigint",
        "by_webhook": "integer",
        "by_sweep": "integer",
        "delivered": "timestamptz",
        "at": "timestamptz",
    }
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_WATCH} SET last_read_at = v.at, consecutive_failures = 0,"
            " last_error_code = '', last_error = '', failing_since = NULL,"
            f" last_delivery_at = COALESCE(v.delivered, {_WATCH}.last_delivery_at),"
            f" changes_by_webhook = {_WATCH}.changes_by_webhook + v.by_webhook,"
            f" changes_by_sweep = {_WATCH}.changes_by_sweep + v.by_sweep"
            f" FROM {source} AS v WHERE {_WATCH}.repository_id = v.repository_id",
            params,
        )


def _mark_applied(delivery_ids: Sequence[int], now: datetime) -> None:
    if delivery_ids:
        WebhookDelivery.objects.filter(pk__in=delivery_ids).update(applied_at=now)


def _branches_with_stale_findings(moved: set[tuple[int, str]]) -> set[tuple[int, str]]:
    if not moved:
        return set()
    ids, params = in_set(connection, sorted({pk for pk, _ in moved}), "bigint")
    table = Finding._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT repository_id, branch FROM {table} WHERE state = 'open'"
            f" AND check_kind = 'stale_branch' AND repository_id {ids}",
            params,
        )
        return {(pk, branch) for pk, branch in cursor.fetchall()} & moved


def _apply_host_events(one: Worked, sight: Seen, effects: Effects, *, now: datetime) -> None:
    events = [event for delivery in sight.deliveries for event in delivery.events]
    pk = one.task.repository_id
    record_pull_requests(
        [_pull_request(pk, event) for event in events if event.pull_request], now=now
    )
    record_gates(
        [
            AnnouncedGate(pk, event.status.sha, event.status.context, event.status.state)
            for event in events
            if event.status
        ],
        now=now,
    )
    for event in events[-1:]:
        _apply_repository_facts(one, event, effects, now=now)


def _apply_repository_facts(
    one: Worked, event: NormalisedEvent, effects: Effects, *, now: datetime
) -> None:
    named, change = event.repository, event.change
    renamed_to = change.new_full_name if change else None
    changed = record_repository_facts(
        one.task.repository_id,
        host_repository_id=named.host_id or "",
        full_name=renamed_to or named.full_name or "",
        clone_url=named.clone_url or "",
        # The heads just read say which branch is the default; the event may be older.
        default_branch="",
    )
    if changed.keys() - {"host_repository_id"}:
        effects.entries.append(
            entry_of(
                one.task,
                now=now,
                action="repository.change",
                object_kind="repository",
                object_id=str(one.task.repository_id),
                reason="announced by its host",
                data={field: list(values) for field, values in sorted(changed.items())},
            )
        )


def _pull_request(repository_id: int, event: NormalisedEvent) -> AnnouncedPullRequest:
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
        merged_at=_moment(request.merged_at),
        labels=request.labels,
        host_updated_at=_moment(request.updated_at),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
