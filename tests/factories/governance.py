"""Makes valid rows of the governance app for tests; every instant is NOON unless told otherwise.

Write `RepositoryFactory.create(tenant=acme)`: unlike `RepositoryFactory(…)` it is typed.
"""

# factory-boy says it is typed, but its declarations (Sequence, LazyAttribute, ...) are not.
# mypy: disable-error-code="no-untyped-call"

import hashlib
from collections import abc
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import Model
from factory.declarations import LazyAttribute, LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory
from rest_framework.test import APIClient

from governance.models import (
    ApiToken,
    Branch,
    BranchClass,
    HostKind,
    Lease,
    LeaseScope,
    LeaseState,
    Repository,
    RunRecord,
    RunStatus,
    Tenant,
    Workspace,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
CORRELATION_ID = "test-correlation-id"

HEAD_A = "a" * 40
HEAD_B = "b" * 40
HEAD_C = "c" * 40

RowT = TypeVar("RowT", bound=Model)


class RowFactory(DjangoModelFactory[RowT], Generic[RowT]):
    """A factory whose `create` says what it returns."""

    class Meta:
        abstract = True

    @classmethod
    def create(cls, **fields: Any) -> RowT:
        """Store a row and return it."""
        return super().create(**fields)


class TenantFactory(RowFactory[Tenant]):
    """Tenants `tenant-0`, `tenant-1`, …; a slug that exists already gives that tenant."""

    class Meta:
        model = Tenant
        django_get_or_create = ("slug",)

    slug = Sequence(lambda n: f"tenant-{n}")
    name = LazyAttribute(lambda row: row.slug.title())
    created_at = NOON


class WorkspaceFactory(RowFactory[Workspace]):
    """One workspace of a tenant; a (tenant, slug) that exists already gives that workspace."""

    class Meta:
        model = Workspace
        django_get_or_create = ("tenant", "slug")

    tenant = SubFactory(TenantFactory)
    slug = "main"
    created_at = NOON


class RepositoryFactory(RowFactory[Repository]):
    """A repository in the tenant's workspace `main`, with `main` as its default branch."""

    class Meta:
        model = Repository

    tenant = SubFactory(TenantFactory)
    workspace = SubFactory(WorkspaceFactory, tenant=SelfAttribute("..tenant"))
    slug = Sequence(lambda n: f"repo-{n}")
    host_kind = HostKind.GENERIC
    host_repository_id = Sequence(lambda n: str(1000 + n))
    full_name = LazyAttribute(lambda row: f"{row.tenant.slug}/{row.slug}")
    clone_url = LazyAttribute(lambda row: f"https://git.example/{row.tenant.slug}/{row.slug}.git")
    default_branch = "main"
    governed_default_branch = "main"
    connected_at = NOON


class BranchFactory(RowFactory[Branch]):
    """A coherent branch: the governed and the observed head are both HEAD_A."""

    class Meta:
        model = Branch

    repository = SubFactory(RepositoryFactory)
    name = Sequence(lambda n: f"topic-{n}")
    branch_class = BranchClass.OTHER
    governed_head = HEAD_A
    governed_at = NOON
    governed_by = "connect"
    observed_head = HEAD_A
    observed_at = NOON
    first_seen_at = NOON
    last_activity_at = NOON


class LeaseFactory(RowFactory[Lease]):
    """A held branch-level lease, acquired at `acquired_at` (NOON) for 900 s.

    The holder's token is `token-<lease_id>` unless `holder_token=` is given. Fencing tokens of
    factory rows are not taken from the repository: services do that.
    """

    class Meta:
        model = Lease

    class Params:
        holder_token = LazyAttribute(lambda row: f"token-{row.lease_id}")

    repository = SubFactory(RepositoryFactory)
    lease_id = Sequence(lambda n: f"made-lease-{n}")
    scope = LeaseScope.BRANCH_LEVEL
    branch = Sequence(lambda n: f"topic-{n}")
    paths: Any = LazyFunction(list)
    user_id = "alice"
    device_id = "laptop"
    agent_id = "reach-cli"
    fencing_token = Sequence(lambda n: n + 1)
    token_digest = LazyAttribute(lambda row: hashlib.sha256(row.holder_token.encode()).hexdigest())
    ttl_seconds = 900
    acquired_at = NOON
    expires_at = LazyAttribute(lambda row: row.acquired_at + timedelta(seconds=row.ttl_seconds))
    max_expires_at = LazyAttribute(lambda row: row.acquired_at + timedelta(hours=8))
    last_heartbeat_at = LazyAttribute(lambda row: row.acquired_at)
    state = LeaseState.HELD
    correlation_id = CORRELATION_ID


class RunRecordFactory(RowFactory[RunRecord]):
    """A running run on HEAD_A; `status="succeeded"` also gives it HEAD_B and an end."""

    class Meta:
        model = RunRecord

    repository = SubFactory(RepositoryFactory)
    run_id = Sequence(lambda n: f"made-run-{n}")
    branch = Sequence(lambda n: f"topic-{n}")
    base_sha = HEAD_A
    head_sha = LazyAttribute(lambda row: HEAD_B if row.status == RunStatus.SUCCEEDED else "")
    actor = "alice"
    status = RunStatus.RUNNING
    started_at = NOON
    ended_at = LazyAttribute(
        lambda row: None if row.status == RunStatus.RUNNING else row.started_at
    )
    last_heartbeat_at = LazyAttribute(lambda row: row.started_at)
    correlation_id = CORRELATION_ID


class ApiTokenFactory(RowFactory[ApiToken]):
    """A token whose clear text is `clear=` (rcl_test-token-<n>); valid until the year 2100."""

    class Meta:
        model = ApiToken

    class Params:
        clear = Sequence(lambda n: f"rcl_test-token-{n}")

    tenant: Any = None
    name = LazyAttribute(lambda row: f"token {row.clear[4:]}")
    prefix = LazyAttribute(lambda row: row.clear[:10])
    digest = LazyAttribute(lambda row: hashlib.sha256(row.clear.encode()).hexdigest())
    scopes = LazyFunction(lambda: ["read"])
    created_at = NOON
    expires_at = FAR_FUTURE


def api_client(
    scopes: abc.Sequence[str] = ("read",), tenant: Tenant | None = None, *, actor: str = "alice"
) -> APIClient:
    """Return a client of the API that bears a fresh token; no tenant means every tenant.

    With the scope `runs` it records runs of `actor`.
    """
    name = f"client-{ApiToken.objects.count()}"
    clear = f"rcl_{name}"
    ApiTokenFactory.create(clear=clear, name=name, tenant=tenant, scopes=list(scopes), actor=actor)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {clear}")
    return client
