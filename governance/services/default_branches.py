"""Accepts another default branch because a person says so; the old one loses its class by that."""

from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from governance.domain.policy import branch_class_of
from governance.models import Repository
from governance.services.policies import load_policies
from governance.services.repository_states import record_branch_classes
from governance.services.snapshots import MIN_REASON, ReasonTooShort

__all__ = ["DefaultBranchMoved", "NothingToAccept", "ReasonTooShort", "accept_observed_default"]


class NothingToAccept(Exception):
    """Governance accepted this default branch already."""


class DefaultBranchMoved(Exception):
    """HEAD moved since the person looked; look again before accepting."""


@transaction.atomic
def accept_observed_default(
    repository_id: int,
    *,
    expected: str,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
) -> tuple[str, str]:
    """Make the branch that HEAD names the accepted default one; return the old and the new name.

    A branch that drifts keeps its old class until its own head is accepted.

    Raises:
        ReasonTooShort, DefaultBranchMoved, NothingToAccept; Repository.DoesNotExist.
    """
    if len(reason.strip()) < MIN_REASON:
        raise ReasonTooShort("Give a reason of at least 10 characters: others will read it.")
    row = (
        Repository.objects.select_for_update(of=("self",))
        .select_related("tenant", "workspace")
        .get(pk=repository_id)
    )
    old, new = row.governed_default_branch, row.default_branch
    if new != expected:
        raise DefaultBranchMoved(f"HEAD names {new or 'no branch'} now; look again.")
    if old == new:
        raise NothingToAccept(f"{new or 'No branch'} is the accepted default branch already.")
    Repository.objects.filter(pk=row.pk).update(governed_default_branch=new)
    policies = load_policies([row.pk])
    record_branch_classes(
        [
            (
                row.pk,
                name,
                branch_class_of(
                    name, default_branches={new} - {""}, policy=policies.for_branch(row.pk, name)
                ),
            )
            for name in sorted({old, new} - {""})
        ]
    )
    append_one(
        Entry(
            tenant=row.tenant.slug,
            at=now,
            actor=caller.actor,
            action="default_branch.accept",
            object_kind="repository",
            object_id=str(row.pk),
            correlation_id=correlation_id,
            reason=reason.strip(),
            workspace=row.workspace.slug,
            repo=row.slug,
            data={"from": old, "to": new},
        )
    )
    return old, new
