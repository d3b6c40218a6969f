"""Applies observations: stores moved heads and announced facts, plans the checks that follow."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection

from audit.setwise import in_set, rows_source
from governance.domain.policy import branch_class_of
from governance.selectors.branch_facts import BranchKey, branches_by_key
from governance.services.observations import (
    LateAnnouncement,
    ObservedMove,
    Reading,
    StoredMove,
    record_late_announcements,
    record_moves,
    record_readings,
)
from governance.services.policies import PolicyResolver
from reconciliation.domain.identity import head_move
from reconciliation.domain.observation import HeadMove
from reconciliation.evaluators.settling import AT_ONCE, Moved, wait_to_settle
from reconciliation.models import Finding, RepositoryWatch, TaskKind, WebhookDelivery
from reconciliation.services.apply.default_branches import (
    apply_default_branches,
    default_branches_of,
)
from reconciliation.services.apply.deletions import DELETED, apply_deletion, apply_returns
from reconciliation.services.apply.host_events import apply_host_events
from reconciliation.services.apply.pushes import StoredPushes, gather_pushes
from reconciliation.services.apply.values import Effects, Worked
from reconciliation.services.dead_letters import requeue_recovered
from reconciliation.services.observe.values import Seen

_WATCH = RepositoryWatch._meta.db_table
_ON_ITS_WAY = timedelta(minutes=2)


def apply_observations(
    worked: Sequence[Worked], policies: PolicyResolver, effects: Effects, *, now: datetime
) -> None:
    """Store what was seen, set by set: the cost grows with what changed, not with what exists."""
    sights = [(one, one.gathered.seen) for one in worked if one.gathered.seen is not None]
    _mark_applied([delivery.id for _, sight in sights for delivery in sight.deliveries], now)
    for one, sight in sights:
        if one.gathered.facts.is_gone:
            apply_deletion(one, sight, effects, now=now)
    _apply_readings(
        [(one, sight) for one, sight in sights if not one.gathered.facts.is_gone],
        policies,
        effects,
        now=now,
    )


def _apply_readings(
    read: Sequence[tuple[Worked, Seen]],
    policies: PolicyResolver,
    effects: Effects,
    *,
    now: datetime,
) -> None:
    for one, sight in read:
        apply_host_events(one, sight, effects, now=now)
    pushes = gather_pushes(read, now=now)
    moved = record_moves(
        [
            _observed_move(one, move, policies, pushes, default_branches_of(one, sight))
            for one, sight in read
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
        for one, _ in read
    ]
    record_readings(readings, now=now)
    apply_default_branches(read, policies, effects, now=now)
    attributed = record_late_announcements(
        [
            LateAnnouncement(
                repository_id=one.task.repository_id,
                branch=call.branch,
                head=call.after,
                pusher=call.pusher,
                pushes=pushes[one.task.repository_id, call.branch],
            )
            for one, _ in read
            for call in one.gathered.facts.late_announcements
        ]
    )
    # Before the watches forget that these repositories could not be read.
    effects.entries += requeue_recovered([one.task.repository_id for one, _ in read], now=now)
    _update_watches(read, moved, attributed, now=now)
    to_check = {
        (one.task.repository_id, branch)
        for one, sight in read
        for branch in sight.branches_to_check
    }
    stale, gone = _findings_to_settle([one.task.repository_id for one, _ in read])
    apply_returns(
        [(one, sight) for one, sight in read if one.task.repository_id in gone], effects, now=now
    )
    stale &= moved.keys() | to_check
    waits = _waits_to_settle(read, moved, policies)
    for one, sight in read:
        _plan_checks(one, sight, moved, attributed, stale, waits, effects, now=now)


def _plan_checks(
    one: Worked,
    sight: Seen,
    moved: Collection[BranchKey],
    attributed: set[BranchKey],
    stale: set[BranchKey],
    waits: Mapping[BranchKey, timedelta],
    effects: Effects,
    *,
    now: datetime,
) -> None:
    task, repository_id = one.task, one.task.repository_id
    about: dict[str, str] = {}
    for branch in sight.branches_to_check:
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
        wait = waits.get((repository_id, branch), AT_ONCE)
        for kind in kinds:
            run_after = now + wait if kind == TaskKind.HEAD_DRIFT else now
            effects.follow_up(
                task, branch=branch, task_kind=kind, about=subject, run_after=run_after
            )


def _waits_to_settle(
    read: Sequence[tuple[Worked, Seen]],
    moved: Mapping[BranchKey, StoredMove],
    policies: PolicyResolver,
) -> dict[BranchKey, timedelta]:
    """Return how long moved heads have to settle, where that can be foreseen.

    What an announcement asks to be checked for another reason is checked at once.
    """
    waits = {}
    for one, sight in read:
        said = {
            (event.branch, event.before, event.after): event.forced
            for delivery in sight.deliveries
            for event in delivery.events
        }
        for move in one.gathered.facts.moves:
            key = (one.task.repository_id, move.branch)
            if key not in moved or move.branch in sight.branches_to_check:
                continue
            policy = policies.for_branch(*key)
            waits[key] = wait_to_settle(
                Moved(
                    moved[key].branch_class,
                    moved[key].governed_head,
                    move.before,
                    move.after,
                    said.get((move.branch, move.before, move.after)),
                    moved[key].is_recorded,
                ),
                policy,
            )
    return waits


def _observed_move(
    one: Worked,
    move: HeadMove,
    policies: PolicyResolver,
    pushes: StoredPushes,
    defaults: frozenset[str],
) -> ObservedMove:
    policy = policies.for_branch(one.task.repository_id, move.branch)
    return ObservedMove(
        repository_id=one.task.repository_id,
        branch=move.branch,
        branch_class=branch_class_of(move.branch, default_branches=defaults, policy=policy),
        head=move.after,
        announced_by=move.announced_by,
        pusher=move.pusher[:200],
        pushes=pushes[one.task.repository_id, move.branch],
    )


def _update_watches(
    read: Sequence[tuple[Worked, Seen]],
    moved: Collection[BranchKey],
    attributed: set[BranchKey],
    *,
    now: datetime,
) -> None:
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    last: dict[int, datetime | None] = {}
    seen_at = branches_by_key(attributed)
    for one, sight in read:
        pk = one.task.repository_id
        for move in one.gathered.facts.moves:
            if (pk, move.branch) in moved:
                counts[pk][0 if move.announced_by == "webhook" else 1] += 1
        for call in one.gathered.facts.late_announcements:
            branch = seen_at.get((pk, call.branch))
            if branch is not None and _was_on_its_way(call.announced_at, branch.observed_at):
                counts[pk][0] += 1
                counts[pk][1] -= 1
        times = [delivery.received_at for delivery in sight.deliveries]
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
            f" changes_by_sweep = CASE WHEN {_WATCH}.changes_by_sweep + v.by_sweep < 0 THEN 0"
            f" ELSE {_WATCH}.changes_by_sweep + v.by_sweep END,"
            # A head that moved may be behind, or may have left others behind: look soon.
            " branches_due_at = CASE WHEN v.by_webhook + v.by_sweep > 0 THEN NULL"
            f" ELSE {_WATCH}.branches_due_at END"
            f" FROM {source} AS v WHERE {_WATCH}.repository_id = v.repository_id",
            params,
        )


def _was_on_its_way(announced_at: datetime, observed_at: datetime | None) -> bool:
    """Return whether an announcement came so soon after its head was seen that it was not missing.

    Else a burst of pushes, each seen while the one before it is observed, would look like a
    webhook that is lost.
    """
    return observed_at is not None and announced_at - observed_at <= _ON_ITS_WAY


def _mark_applied(delivery_ids: Sequence[int], now: datetime) -> None:
    if delivery_ids:
        WebhookDelivery.objects.filter(pk__in=delivery_ids, applied_at__isnull=True).update(
            applied_at=now
        )


def _findings_to_settle(repository_ids: Sequence[int]) -> tuple[set[tuple[int, str]], set[int]]:
    """Return branches that count as stale, and repositories that count as deleted; one query."""
    ids, params = in_set(connection, sorted(set(repository_ids)), "bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT repository_id, branch, check_kind FROM {Finding._meta.db_table}"
            " WHERE state = 'open' AND (check_kind = 'stale_branch'"
            f" OR (branch = '' AND stable_class = '{DELETED}')) AND repository_id {ids}",
            params,
        )
        found = cursor.fetchall()
    stale = {(pk, branch) for pk, branch, kind in found if kind == TaskKind.STALE_BRANCH}
    return stale, {pk for pk, _, kind in found if kind == TaskKind.OBSERVE_REFS}
