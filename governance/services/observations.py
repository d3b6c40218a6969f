"""Stores what was read from remotes: heads, set by set; judges nothing, plans nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from audit.setwise import Columns, insert_rows, rows_source
from governance.models import Branch, Repository, RunRecord
from governance.services.held_classes import held_class

_BRANCH = Branch._meta.db_table
_REPOSITORY = Repository._meta.db_table
_MOVE_COLUMNS: Columns = {
    "repository_id": "bigint",
    "name": "text",
    "branch_class": "text",
    "governed_head": "text",
    "governed_at": "timestamptz",
    "governed_by": "text",
    "observed_head": "text",
    "observed_at": "timestamptz",
    "announced_by": "text",
    "previous_head": "text",
    "pusher": "text",
    "pushes": "jsonb",
    "head_changes": "integer",
    "gone_at": "timestamptz",
    "first_seen_at": "timestamptz",
    "last_activity_at": "timestamptz",
}
_HELD = held_class(
    f"{_BRANCH}.branch_class",
    "excluded.branch_class",
    governed=f"{_BRANCH}.governed_head",
    observed="excluded.observed_head",
)
# Only a head that really differs is a move: a second worker with the same reading changes nothing.
_ON_MOVE = f"""(repository_id, name) DO UPDATE SET
    branch_class = {_HELD},
    previous_head = {_BRANCH}.observed_head,
    previous_pusher = {_BRANCH}.pusher,
    previous_observed_at = {_BRANCH}.observed_at,
    observed_head = excluded.observed_head,
    observed_at = excluded.observed_at,
    announced_by = excluded.announced_by,
    pusher = excluded.pusher,
    pushes = excluded.pushes,
    head_changes = {_BRANCH}.head_changes + 1,
    gone_at = CASE WHEN excluded.observed_head = {_BRANCH}.governed_head THEN NULL
        ELSE COALESCE(excluded.gone_at, {_BRANCH}.gone_at) END,
    last_activity_at = excluded.last_activity_at
    WHERE COALESCE({_BRANCH}.observed_head, '') <> COALESCE(excluded.observed_head, '')"""

_STORED = (
    "repository_id, name, branch_class, governed_head, EXISTS (SELECT 1 FROM"
    f" {RunRecord._meta.db_table} r WHERE r.repository_id = {_BRANCH}.repository_id"
    f" AND r.head_sha = {_BRANCH}.observed_head)"
)


@dataclass(frozen=True, slots=True)
class ObservedMove:
    """A branch head as it is now; `head` None means that the branch is gone.

    `activity_at` is when the branch was last active, of first snapshots (None: unknown); any other
    move is activity itself. `pushes` are all that led from the governed head to this one, as JSON
    values.
    """

    repository_id: int
    branch: str
    branch_class: str
    head: str | None
    announced_by: str
    pusher: str
    activity_at: datetime | None = None
    pushes: Sequence[Mapping[str, str | None]] = ()


@dataclass(frozen=True, slots=True)
class StoredMove:
    """What is known of a branch that moved: its class, governed head, and if a run ends there."""

    branch_class: str
    governed_head: str | None
    is_recorded: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One successful reading of a repository's heads."""

    repository_id: int
    heads_digest: str
    heads_count: int
    default_branch: str


def record_moves(
    moves: Sequence[ObservedMove], *, now: datetime, as_governed_by: str = ""
) -> dict[tuple[int, str], StoredMove]:
    """Store moved heads by one statement; return those that moved, by `(repository, branch)`.

    With `as_governed_by` (connecting a repository) new branches get the head as their first
    governed snapshot.
    """
    rows = [
        (
            move.repository_id,
            move.branch,
            move.branch_class,
            move.head if as_governed_by else None,
            now if as_governed_by else None,
            as_governed_by,
            move.head,
            now,
            move.announced_by,
            None,
            move.pusher,
            json.dumps(list(move.pushes)),
            0 if as_governed_by else 1,
            now if move.head is None else None,
            now,
            # First snapshots may be years old: without a date their activity is unknown.
            move.activity_at if as_governed_by else now,
        )
        for move in moves
    ]
    stored = insert_rows(
        connection,
        _BRANCH,
        _MOVE_COLUMNS,
        rows,
        on_conflict=_ON_MOVE,
        returning=_STORED,
    )
    return {
        (repository_id, name): StoredMove(branch_class, governed_head, bool(is_recorded))
        for repository_id, name, branch_class, governed_head, is_recorded in stored
    }


def record_readings(readings: Sequence[Reading], *, now: datetime) -> None:
    """Store that repositories were read, by one statement; branches that did not move cost none."""
    if not readings:
        return
    columns = {
        "id": "bigint",
        "digest": "text",
        "heads": "integer",
        "default_branch": "text",
        "at": "timestamptz",
    }
    rows = [
        (one.repository_id, one.heads_digest, one.heads_count, one.default_branch, now)
        for one in sorted(readings, key=lambda one: one.repository_id)
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_REPOSITORY} SET observed_at = v.at, heads_digest = v.digest,"
            " heads_count = v.heads,"
            " default_branch = CASE WHEN v.default_branch = ''"
            f" THEN {_REPOSITORY}.default_branch ELSE v.default_branch END"
            f" FROM {source} AS v WHERE {_REPOSITORY}.id = v.id",
            params,
        )


@dataclass(frozen=True, slots=True)
class LateAnnouncement:
    """Who pushed a head that was seen before its webhook came, and all pushes that led to it."""

    repository_id: int
    branch: str
    head: str | None
    pusher: str
    pushes: Sequence[Mapping[str, str | None]]


def record_late_announcements(
    announcements: Sequence[LateAnnouncement],
) -> set[tuple[int, str]]:
    """Give heads that were seen before their webhook its pusher, by one statement.

    Returns `(repository, branch)` of those that still applied.
    """
    if not announcements:
        return set()
    columns = {
        "repository_id": "bigint",
        "name": "text",
        "pusher": "text",
        "pushes": "jsonb",
        "head": "text",
    }
    rows = [
        (one.repository_id, one.branch, one.pusher, json.dumps(list(one.pushes)), one.head)
        for one in announcements
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_BRANCH} SET announced_by = 'webhook', pusher = v.pusher, pushes = v.pushes"
            f" FROM {source} AS v WHERE {_BRANCH}.repository_id = v.repository_id"
            f" AND {_BRANCH}.name = v.name AND {_BRANCH}.announced_by <> 'webhook'"
            f" AND COALESCE({_BRANCH}.observed_head, '') = COALESCE(v.head, '')"
            f" RETURNING {_BRANCH}.repository_id, {_BRANCH}.name",
            params,
        )
        return {(repository_id, name) for repository_id, name in cursor.fetchall()}


def record_found_activity(found: Sequence[tuple[int, str, str, datetime]]) -> None:
    """Store `(repository, branch, head, moment)` where activity was unknown, by one statement."""
    if not found:
        return
    columns = {"repository_id": "bigint", "name": "text", "head": "text", "at": "timestamptz"}
    source, params = rows_source(connection, columns, sorted(found))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_BRANCH} SET last_activity_at = v.at FROM {source} AS v"
            f" WHERE {_BRANCH}.repository_id = v.repository_id AND {_BRANCH}.name = v.name"
            f" AND {_BRANCH}.observed_head = v.head AND {_BRANCH}.last_activity_at IS NULL",
            params,
        )
