"""Brings repositories under governance: tenant, workspace, repository, first snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.domain.entries import Actor, Entry
from audit.services import append_one
from governance.models import RemoteCredential, Repository, Tenant, Workspace
from governance.services.observations import (
    ObservedMove,
    Reading,
    record_moves,
    record_readings,
)


class AlreadyConnected(Exception):
    """A repository of this name is already governed in the tenant; choose another name."""


class BadName(ValueError):
    """A slug that cannot be used; the message says which characters may be."""


@dataclass(frozen=True, slots=True)
class FirstHead:
    """A head at the moment of connecting, with its class and its commit's date, if known."""

    head: str
    branch_class: str
    committed_at: datetime | None


def refuse_taken_name(tenant: str, name: str) -> None:
    """Raise AlreadyConnected when a repository of the tenant has this name."""
    if Repository.objects.filter(tenant__slug=tenant, slug=name).exists():
        raise AlreadyConnected(
            f"{tenant}/{name} is already governed: give this one another name with --name. To see"
            " its webhook address, and to make a new secret when that was lost, use"
            " `manage.py webhook_source list` and `manage.py webhook_source rotate`."
        )


@transaction.atomic
def connect_repository(
    *,
    tenant: str,
    workspace: str,
    name: str,
    clone_url: str,
    host_kind: str,
    default_branch: str,
    heads_count: int,
    heads_digest: str,
    credential: tuple[str, str] | None,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> Repository:
    """Store a repository as it was just read; `record_first_snapshots` stores its heads.

    Raises:
        AlreadyConnected: the name is taken in this tenant.
        BadName: a slug that is not one.
    """
    tenant_row, _ = Tenant.objects.get_or_create(slug=_slug(tenant), defaults={"created_at": now})
    workspace_row, _ = Workspace.objects.get_or_create(
        tenant=tenant_row, slug=_slug(workspace), defaults={"created_at": now}
    )
    refuse_taken_name(tenant, _slug(name))
    credential_row = None
    if credential is not None:
        credential_row = RemoteCredential.objects.create(
            tenant=tenant_row,
            name=name,
            username=credential[0],
            secret=credential[1],
            created_at=now,
        )
    row = Repository.objects.create(
        tenant=tenant_row,
        workspace=workspace_row,
        slug=name,
        host_kind=host_kind,
        clone_url=clone_url,
        default_branch=default_branch,
        governed_default_branch=default_branch,
        credential=credential_row,
        connected_at=now,
    )
    record_readings([Reading(row.pk, heads_digest, heads_count, default_branch)], now=now)
    append_one(
        Entry(
            tenant=tenant_row.slug,
            at=now,
            actor=actor,
            action="repository.connect",
            object_kind="repository",
            object_id=str(row.pk),
            correlation_id=correlation_id,
            workspace=workspace_row.slug,
            repo=row.slug,
            data={"clone_url": clone_url, "heads": heads_count, "heads_digest": heads_digest},
        )
    )
    return row


def record_first_snapshots(
    repository_id: int, heads: Mapping[str, FirstHead], *, now: datetime
) -> None:
    """Store heads that are both observed and governed."""
    record_moves(
        [
            ObservedMove(
                repository_id=repository_id,
                branch=branch,
                branch_class=first.branch_class,
                head=first.head,
                announced_by="manual",
                pusher="",
                activity_at=first.committed_at,
            )
            for branch, first in sorted(heads.items())
        ],
        now=now,
        as_governed_by="connect",
    )


def _slug(text: str) -> str:
    field = Tenant._meta.get_field("slug")
    try:
        field.run_validators(text)
    except ValidationError as error:
        raise BadName(f"{text!r}: {' '.join(error.messages)}") from error
    return text
