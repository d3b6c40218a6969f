"""Connects repositories: reads their heads, records first snapshots, makes a webhook source."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from audit.domain.entries import Actor
from governance.domain.policy import branch_class_of
from governance.selectors.branch_facts import RepositoryRow, repositories_by_id
from governance.services.policies import load_policies
from governance.services.repositories import (
    FirstHead,
    connect_repository,
    record_commit_dates,
    record_first_snapshots,
)
from reconciliation.domain.host_budget import host_of_url
from reconciliation.domain.sweep_plan import next_due
from reconciliation.models import RepositoryWatch, WebhookSource
from reconciliation.services.observe import Remote
from reconciliation.services.observe.first_look import CannotRead, commit_dates, first_look
from reconciliation.services.observe.remote import target_of
from reconciliation.services.sources import create_source

__all__ = ["CannotRead", "Connected", "connect"]


@dataclass(frozen=True, slots=True)
class Connected:
    """What connecting led to; `history_problem` says why commit dates are not known, if so."""

    repository: RepositoryRow
    heads: int
    source: WebhookSource
    history_problem: str


def connect(
    clone_url: str,
    *,
    tenant: str,
    workspace: str,
    name: str,
    host_kind: str,
    credential: tuple[str, str] | None,
    source_token: str,
    source_secret: str,
    sweep_interval: timedelta,
    remote: Remote,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> Connected:
    """Govern a reachable repository: its heads now are its first governed snapshots.

    Remotes are read outside of the transaction. When heads can be read but history cannot, the
    repository is connected all the same and the problem is told: ancestry will be unknown.

    Raises:
        CannotRead; governance's AlreadyConnected and BadName.
    """
    look = first_look(clone_url, credential=credential, remote=remote)
    with transaction.atomic():
        row = connect_repository(
            tenant=tenant,
            workspace=workspace,
            name=name,
            clone_url=clone_url,
            host_kind=host_kind,
            default_branch=look.default_branch,
            heads={},
            heads_digest=look.digest,
            credential=credential,
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
                        default_branch=look.default_branch,
                        policy=policies.for_branch(row.pk, branch),
                    ),
                    None,
                )
                for branch, head in look.heads.items()
            },
            now=now,
        )
        RepositoryWatch.objects.create(
            repository_id=row.pk,
            host=host_of_url(clone_url)[:300],
            next_due_at=next_due(f"{tenant}/{name}", swept_at=now, interval=sweep_interval),
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
    repository = repositories_by_id([row.pk])[row.pk]
    problem = ""
    try:
        dates = commit_dates(target_of(repository), look.heads, remote=remote)
    except CannotRead as error:
        problem = str(error)
    else:
        record_commit_dates(row.pk, dates)
    return Connected(repository, len(look.heads), source, problem)
