"""Accepts a head because a person says so, and has the branch checked at once."""

from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from governance.selectors.branch_facts import repositories_by_id
from governance.services.snapshots import (
    HeadMoved,
    NothingToAccept,
    ReasonTooShort,
    accept_observed_head,
)
from reconciliation.models import Finding, FindingState, Origin, TaskKind
from reconciliation.services.planning import plan_check

__all__ = ["HeadMoved", "NotAllowed", "NothingToAccept", "ReasonTooShort", "accept_head"]


class NotAllowed(Exception):
    """Accepting a head needs the admin role in the repository's tenant."""


@transaction.atomic
def accept_head(
    repository_id: int,
    branch: str,
    *,
    expected_head: str,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
) -> None:
    """Make the observed head the governed snapshot, then plan the check that closes its findings.

    Raises:
        NotAllowed, HeadMoved, NothingToAccept, ReasonTooShort: nothing was changed.
    """
    repository = repositories_by_id([repository_id])[repository_id]
    if not caller.may_see(repository.tenant) or not caller.has_scope("admin"):
        raise NotAllowed("Only a governance admin may accept a head as governed.")
    accept_observed_head(
        repository_id,
        branch,
        expected_head=expected_head,
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
    )
    # At once: until the checks resolve them, their commands would undo what was just accepted.
    Finding.objects.filter(
        repository_id=repository_id,
        branch=branch,
        check_kind=TaskKind.HEAD_DRIFT,
        state=FindingState.OPEN,
    ).update(
        command="",
        recommendation=(
            f"Nothing to do: {caller.actor.name} accepted this; clean checks resolve the finding."
        ),
    )
    plan_check(
        tenant=repository.tenant,
        workspace=repository.workspace,
        repo=repository.slug,
        repository_id=repository_id,
        branch=branch,
        task_kind=TaskKind.HEAD_DRIFT,
        about=f"accepted {expected_head or '-'} {correlation_id}",
        origin=Origin.MANUAL,
        correlation_id=correlation_id,
        now=now,
    )
