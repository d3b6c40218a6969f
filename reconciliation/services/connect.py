"""Connects repositories that were read: records first snapshots, makes a webhook source."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.domain.entries import Actor
from governance.domain.policy import branch_class_of
from governance.selectors.branch_facts import RepositoryRow, repositories_by_id
from governance.services.policies import load_policies
from governance.services.repositories import (
    FirstHead,
    connect_repository,
    record_first_snapshots,
)
from reconciliation.domain.host_budget import host_of_url
from reconciliation.models import RepositoryWatch, WebhookSource
from reconciliation.services.observe.first_look import CannotRead, FirstLook, first_look
from reconciliation.services.sources import create_source

__all__ = ["CannotRead", "Connected", "FirstLook", "connect", "first_look"]


@dataclass(frozen=True, slots=True)
class Connected:
    """What connecting led to; `history_problem` says why commit dates are not known, if so."""

    repository: RepositoryRow
    heads: int
    source: WebhookSource
    history_problem: str


@transaction.atomic
def connect(
    look: FirstLook,
    *,
    tenant: str,
    workspace: str,
    name: str,
    host_kind: str,
    source_token: str,
    source_secret: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> Connected:
    """Govern a repository that was just read: its heads are its first governed snapshots.

    All of it is stored, or nothing. Reading came before: it may take minutes, and it may fail.

    Raises:
        governance's AlreadyConnected and BadName.
    """
    row = connect_repository(
        tenant=tenant,
        workspace=workspace,
        name=name,
        clone_url=look.clone_url,
        host_kind=host_kind,
        default_branch=look.default_branch,
        heads_count=len(look.heads),
        heads_digest=look.digest,
        credential=look.credential,
        actor=actor,
        correlation_id=correlation_id,
        now=now,
    )
    policies = load_policies([row.pk])
    record_first_snapshots(
        row.pk,
        {
            branch: FirstHead(
                head,
                branch_class_of(
                    branch,
                    default_branches={look.default_branch} - {""},
                    policy=policies.for_branch(row.pk, branch),
                ),
                look.committed_at.get(branch),
            )
            for branch, head in look.heads.items()
        },
        now=now,
    )
    RepositoryWatch.objects.create(
        repository_id=row.pk,
        host=host_of_url(look.clone_url)[:300],
        # What moved while it was connected has no webhook yet: the next tick reads it again.
        next_due_at=now,
        last_read_at=now,
    )
    source = create_source(
        tenant_id=row.tenant_id,
        tenant=tenant,
        repository_id=row.pk,
        host_kind=host_kind,
        name=f"{tenant}/{workspace}/{name}",
        token=source_token,
        secret=source_secret,
        actor=actor,
        correlation_id=correlation_id,
        now=now,
    )
    return Connected(
        repositories_by_id([row.pk])[row.pk], len(look.heads), source, look.history_problem
    )
