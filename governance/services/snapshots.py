"""Moves governed snapshots: by run records (set-based), or by a person with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from audit.setwise import rows_source
from governance.domain.policy import branch_class_of
from governance.models import Branch
from governance.services.policies import load_policies

_BRANCH = Branch._meta.db_table
MIN_REASON = 10


class NothingToAccept(Exception):
    """The snapshot already is the observed head; there is nothing to accept."""


class HeadMoved(Exception):
    """The head moved since the person looked; look again before accepting."""


class ReasonTooShort(ValueError):
    """Accepting a head needs a reason of at least 10 characters."""


@dataclass(frozen=True, slots=True)
class Advance:
    """A snapshot to move, guarded by both heads that the decision was made on."""

    repository_id: int
    branch: str
    expected_governed: str | None
    expected_observed: str
    by: str
    branch_class: str
    """The class that holds now: the branch is accepted under it."""


def advance_snapshots(advances: Sequence[Advance], *, now: datetime) -> set[tuple[int, str]]:
    """Move snapshots to their observed heads by one statement; return those that were moved.

    One whose heads moved meanwhile is left alone: the move brings its own decision.
    """
    if not advances:
        return set()
    columns = {
        "repository_id": "bigint",
        "name": "text",
        "governed": "text",
        "observed": "text",
        "moved_by": "text",
        "branch_class": "text",
        "at": "timestamptz",
    }
    rows = [
        (
            one.repository_id,
            one.branch,
            one.expected_governed,
            one.expected_observed,
            one.by,
            one.branch_class,
            now,
        )
        for one in advances
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_BRANCH} SET governed_head = v.observed, governed_at = v.at,"
            " governed_by = v.moved_by, gone_at = NULL, branch_class = v.branch_class"
            f" FROM {source} AS v"
            f" WHERE {_BRANCH}.repository_id = v.repository_id AND {_BRANCH}.name = v.name"
            f" AND {_BRANCH}.observed_head = v.observed"
            f" AND COALESCE({_BRANCH}.governed_head, '') = COALESCE(v.governed, '')"
            f" RETURNING {_BRANCH}.repository_id, {_BRANCH}.name",
            params,
        )
        return {(repository_id, name) for repository_id, name in cursor.fetchall()}


@transaction.atomic
def accept_observed_head(
    repository_id: int,
    branch: str,
    *,
    expected_head: str,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
) -> Branch:
    """Make the observed head the governed one because a person says so.

    `expected_head` is the head that the person looked at; empty when they looked at a deletion.

    Raises:
        ReasonTooShort, HeadMoved, NothingToAccept; Branch.DoesNotExist for an unknown branch.
    """
    if len(reason.strip()) < MIN_REASON:
        raise ReasonTooShort("Give a reason of at least 10 characters: others will read it.")
    row = (
        Branch.objects.select_for_update(of=("self",))
        .select_related("repository__tenant", "repository__workspace")
        .get(repository_id=repository_id, name=branch)
    )
    if (row.observed_head or "") != expected_head:
        raise HeadMoved(f"{branch} is at {row.observed_head or 'nothing'} now; look again.")
    if row.observed_head == row.governed_head and row.gone_at is None:
        raise NothingToAccept(f"The snapshot of {branch} already is {row.governed_head}.")
    previous = row.governed_head
    Branch.objects.filter(pk=row.pk).update(
        governed_head=row.observed_head,
        governed_at=now,
        governed_by=f"user:{caller.actor.name}",
        gone_at=None,
        branch_class=_class_now(row),
    )
    append_one(
        Entry(
            tenant=row.repository.tenant.slug,
            at=now,
            actor=caller.actor,
            action="snapshot.accept",
            object_kind="branch",
            object_id=str(row.pk),
            correlation_id=correlation_id,
            reason=reason.strip(),
            workspace=row.repository.workspace.slug,
            repo=row.repository.slug,
            branch=branch,
            data={"from": previous, "to": row.observed_head},
        )
    )
    row.refresh_from_db()
    return row


def _class_now(row: Branch) -> str:
    """Return the class that the policy in force gives a branch, whatever it was before."""
    repository = row.repository
    defaults = {repository.governed_default_branch, repository.default_branch} - {""}
    policy = load_policies([repository.pk]).for_branch(repository.pk, row.name)
    return branch_class_of(row.name, default_branches=defaults, policy=policy)
