"""Accepts a default branch because a person says so, and has both branches checked at once."""

from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from audit.services import append
from governance.selectors.branch_facts import branches_by_key, repositories_by_id
from governance.services.default_branches import (
    DefaultBranchMoved,
    NothingToAccept,
    ReasonTooShort,
    accept_observed_default,
)
from reconciliation.models import Origin, TaskKind
from reconciliation.services.default_branch_findings import resolve_default_branch_finding
from reconciliation.services.planning import plan_check
from reconciliation.services.snapshots import NotAllowed

__all__ = [
    "DefaultBranchMoved",
    "NotAllowed",
    "NothingToAccept",
    "ReasonTooShort",
    "accept_default_branch",
]


@transaction.atomic
def accept_default_branch(
    repository_id: int,
    *,
    expected: str,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
) -> None:
    """Accept the default branch that HEAD names, resolve its finding, plan both branches' checks.

    Raises:
        NotAllowed, DefaultBranchMoved, NothingToAccept, ReasonTooShort: nothing was changed.
    """
    repository = repositories_by_id([repository_id])[repository_id]
    if not caller.may_see(repository.tenant) or not caller.has_scope("admin"):
        raise NotAllowed("Only a governance admin may accept another default branch.")
    old, new = accept_observed_default(
        repository_id,
        expected=expected,
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
    )
    append(
        resolve_default_branch_finding(
            repository,
            resolution=f"{new} was accepted by {caller.actor.name}",
            correlation_id=correlation_id,
            now=now,
        )
    )
    for _, branch in sorted(branches_by_key({(repository_id, old), (repository_id, new)})):
        for kind in (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN):
            plan_check(
                tenant=repository.tenant,
                workspace=repository.workspace,
                repo=repository.slug,
                repository_id=repository_id,
                branch=branch,
                task_kind=kind,
                about=f"accepted default {new or '-'} {correlation_id}",
                origin=Origin.MANUAL,
                correlation_id=correlation_id,
                now=now,
            )
