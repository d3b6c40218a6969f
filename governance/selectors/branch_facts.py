"""What the reconciler asks about repositories and branches: set-based reads as plain rows."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import (
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Cast

from audit.setwise import aware, rows_source
from governance.models import (
    Branch,
    Lease,
    LeaseState,
    Repository,
    RunRecord,
    Tenant,
)

_BRANCH = Branch._meta.db_table
_HALF_OF_LONGEST_TTL = timedelta(hours=12)

BranchKey = tuple[int, str]
"""Repository id and branch name."""


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """A repository with its address and how to read it. The secret never shows in a repr."""

    id: int
    tenant: str
    workspace: str
    slug: str
    clone_url: str
    default_branch: str
    governed_default_branch: str
    heads_digest: str
    observed_at: datetime | None
    is_active: bool
    host_kind: str
    host_repository_id: str
    credential: tuple[str, str] | None
    tenant_id: int
    workspace_id: int

    def __repr__(self) -> str:
        return f"RepositoryRow({self.tenant}/{self.slug})"

    @property
    def default_branches(self) -> frozenset[str]:
        """The default branch that governance accepted and the one that HEAD names now."""
        return frozenset({self.governed_default_branch, self.default_branch}) - {""}


@dataclass(frozen=True, slots=True)
class BranchRow:
    """A branch with its two heads."""

    id: int
    branch_class: str
    governed_head: str | None
    observed_head: str | None
    observed_at: datetime | None
    announced_by: str
    pusher: str
    head_changes: int
    gone_at: datetime | None
    first_seen_at: datetime
    last_activity_at: datetime | None
    previous_head: str | None
    pushes: tuple[dict[str, str | None], ...]
    previous_pusher: str
    previous_observed_at: datetime | None
    governed_by: str


def repositories_by_id(ids: Iterable[int]) -> dict[int, RepositoryRow]:
    """Return rows by id, by one statement."""
    rows = (
        Repository.objects.filter(pk__in=set(ids))
        .select_related("tenant", "workspace", "credential")
        .order_by("pk")
    )
    return {row.pk: _repository_row(row) for row in rows}


def repository_at(path: str) -> RepositoryRow | None:
    """Return the repository at `tenant/workspace/repo`, or None."""
    parts = path.split("/")
    if len(parts) != 3:
        return None
    row = (
        Repository.objects.filter(tenant__slug=parts[0], workspace__slug=parts[1], slug=parts[2])
        .select_related("tenant", "workspace", "credential")
        .first()
    )
    return _repository_row(row) if row else None


def tenant_id_of(slug: str) -> int | None:
    """Return a tenant's id, or None."""
    return Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()


def repository_of_host(*, tenant_id: int, host_kind: str, host_repository_id: str) -> int | None:
    """Return the repository that a host knows by this stable id."""
    return (
        Repository.objects.filter(
            tenant_id=tenant_id, host_kind=host_kind, host_repository_id=host_repository_id
        )
        .values_list("pk", flat=True)
        .first()
    )


def known_heads(
    repository_ids: Sequence[int],
) -> dict[int, list[tuple[str, str | None, int, str, str]]]:
    """Return, per repository, `(name, observed head, head changes, pusher, announced by)`.

    Tuples, by one statement: 100,000 model instances would cost over a second.
    """
    known: dict[int, list[tuple[str, str | None, int, str, str]]] = {
        pk: [] for pk in repository_ids
    }
    rows = Branch.objects.filter(repository_id__in=repository_ids).values_list(
        "repository_id", "name", "observed_head", "head_changes", "pusher", "announced_by"
    )
    for repository_id, name, head, changes, pusher, announced_by in rows.order_by().iterator(
        chunk_size=10_000
    ):
        known[repository_id].append((name, head, changes, pusher, announced_by))
    return known


def branches_by_key(keys: Iterable[BranchKey]) -> dict[BranchKey, BranchRow]:
    """Return the branches named; unknown ones are absent."""
    wanted = set(keys)
    rows = Branch.objects.filter(**among(wanted, "name")).order_by("pk")
    return {
        (row.repository_id, row.name): BranchRow(
            id=row.pk,
            branch_class=row.branch_class,
            governed_head=row.governed_head,
            observed_head=row.observed_head,
            observed_at=row.observed_at,
            announced_by=row.announced_by,
            pusher=row.pusher,
            head_changes=row.head_changes,
            gone_at=row.gone_at,
            first_seen_at=row.first_seen_at,
            last_activity_at=row.last_activity_at,
            previous_head=row.previous_head,
            pushes=tuple(row.pushes),
            previous_pusher=row.previous_pusher,
            previous_observed_at=row.previous_observed_at,
            governed_by=row.governed_by,
        )
        for row in rows
        if (row.repository_id, row.name) in wanted
    }


def pushes_so_far(
    keys: Iterable[BranchKey],
) -> dict[BranchKey, tuple[list[dict[str, str | None]], datetime]]:
    """Return the pushes of branches that drift already, and when their heads were seen.

    By one statement, however many branches are named; those in sync have nothing to tell.
    """
    rows = sorted(set(keys))
    if not rows:
        return {}
    source, params = rows_source(connection, {"repository_id": "bigint", "name": "text"}, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT b.repository_id, b.name, b.pushes, b.observed_at FROM {_BRANCH} AS b"
            f" JOIN {source} AS v ON b.repository_id = v.repository_id AND b.name = v.name"
            " WHERE COALESCE(b.governed_head, '') <> COALESCE(b.observed_head, '')",
            params,
        )
        return {
            (pk, name): (json.loads(pushes), aware(seen_at))
            for pk, name, pushes, seen_at in cursor.fetchall()
        }


def ends_of_runs(keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[str, str]]:
    """Return the branch and the head, empty while it runs, of each `(repository, run id)`."""
    wanted = set(keys)
    if not wanted:
        return {}
    rows = RunRecord.objects.filter(**among(wanted, "run_id")).values_list(
        "repository_id", "run_id", "branch", "head_sha"
    )
    return {
        (pk, run_id): (branch, head) for pk, run_id, branch, head in rows if (pk, run_id) in wanted
    }


def leases_due(*, now: datetime) -> QuerySet[Lease]:
    """Return held leases that are expired or may be due for renewal.

    Which of them is due is for the rule to say: here half of the TTL is the bound, so that the
    rule never misses one. `due_from` is when that half begins.
    """
    half = ExpressionWrapper(
        Cast("ttl_seconds", IntegerField()) * Value(timedelta(milliseconds=500)),
        output_field=DurationField(),
    )
    due_from = ExpressionWrapper(F("expires_at") - half, output_field=DateTimeField())
    return (
        Lease.objects.filter(state=LeaseState.HELD, expires_at__lte=now + _HALF_OF_LONGEST_TTL)
        .alias(due_from=due_from)
        .filter(due_from__lte=now)
        .order_by()
    )


def idle_branches(*, idle_since: datetime, repository_ids: Sequence[int]) -> QuerySet[Branch]:
    """Return existing branches of active repositories with no activity known since then.

    Those whose activity is unknown are among them: a check may find it out.
    """
    return Branch.objects.filter(
        Q(last_activity_at__lte=idle_since) | Q(last_activity_at__isnull=True),
        observed_head__isnull=False,
        repository__is_active=True,
        repository_id__in=repository_ids,
    ).order_by()


def branches_to_check(repository_id: int, *, idle_since: datetime) -> list[str]:
    """Return branches whose heads disagree, and those not known to be active since, by name."""
    rows = Branch.objects.filter(repository_id=repository_id).values_list(
        "name", "governed_head", "observed_head", "last_activity_at"
    )
    return sorted(
        name
        for name, governed, observed, active_at in rows.iterator(chunk_size=5000)
        if governed != observed or active_at is None or active_at <= idle_since
    )


def among(wanted: Iterable[tuple[int, str]], field: str) -> dict[str, object]:
    """Return the filter for `(repository, value of field)`; it lets through some more pairs."""
    pairs = set(wanted)
    return {
        "repository_id__in": {pk for pk, _ in pairs},
        f"{field}__in": {value for _, value in pairs},
    }


def _repository_row(row: Repository) -> RepositoryRow:
    credential = row.credential
    return RepositoryRow(
        id=row.pk,
        tenant=row.tenant.slug,
        workspace=row.workspace.slug,
        slug=row.slug,
        clone_url=row.clone_url,
        default_branch=row.default_branch,
        governed_default_branch=row.governed_default_branch,
        heads_digest=row.heads_digest,
        observed_at=row.observed_at,
        is_active=row.is_active,
        host_kind=row.host_kind,
        host_repository_id=row.host_repository_id,
        credential=(credential.username, credential.secret) if credential else None,
        tenant_id=row.tenant_id,
        workspace_id=row.workspace_id,
    )
