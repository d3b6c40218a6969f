"""The policies in force over many branches, on the database: layers, statements, remembering."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from audit.domain.canonical import sha256_of
from governance.domain.policy import DEFAULT_DOCUMENT, Mode, document_text, policy_from_document
from governance.models import EffectivePolicy, PolicyVersion, Repository
from governance.services.policies import UnknownRepository, load_policies, remember_policies
from tests.conftest import World
from tests.factories.governance import NOON, RepositoryFactory, TenantFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db
Queries = Callable[..., CaptureQueriesContext]


def store(layer: str, document: dict[str, Any], *, version: int = 1, **place: Any) -> PolicyVersion:
    target = "/".join(
        place[name].slug for name in ("tenant", "workspace", "repository") if name in place
    )
    return PolicyVersion.objects.create(
        layer=layer,
        target=target,
        version=version,
        document=document,
        digest=sha256_of(document),
        author="ann",
        reason="a test",
        published_at=NOON,
        **place,
    )


def of_repository(repository: Repository) -> dict[str, Any]:
    return {
        "tenant": repository.tenant,
        "workspace": repository.workspace,
        "repository": repository,
    }


def test_without_any_layer_the_default_policy_is_in_force(tenant_world: World) -> None:
    resolver = load_policies([tenant_world.repository.pk])

    policy = resolver.for_branch(tenant_world.repository.pk, "main")

    assert policy == policy_from_document(DEFAULT_DOCUMENT)


def test_each_layer_speaks_over_the_ones_above_it(tenant_world: World) -> None:
    repository = tenant_world.repository
    place = of_repository(repository)
    days = iter(range(10, 20))

    seen = []
    for layer, names in (
        ("site", ()),
        ("tenant", ("tenant",)),
        ("workspace", ("tenant", "workspace")),
        ("repository", ("tenant", "workspace", "repository")),
    ):
        store(layer, {"stale_branch": {"idle_days": next(days)}}, **{n: place[n] for n in names})
        seen.append(load_policies([repository.pk]).for_branch(repository.pk, "").stale_branch)

    assert [rules.idle_days for rules in seen] == [10, 11, 12, 13]


def test_a_branch_layer_speaks_for_branches_of_its_pattern_only(tenant_world: World) -> None:
    repository = tenant_world.repository
    store(
        "branch",
        {"head_drift": {"mode": "off"}},
        branch_pattern="sandbox/**",
        **of_repository(repository),
    )
    resolver = load_policies([repository.pk])

    modes = {
        branch: resolver.for_branch(repository.pk, branch).head_drift.mode
        for branch in ("", "main", "sandbox/ann", "sandbox")
    }

    assert modes == {
        "": Mode.ALERT,
        "main": Mode.ALERT,
        "sandbox/ann": Mode.OFF,
        "sandbox": Mode.OFF,
    }


def test_only_the_newest_version_of_a_layer_counts(tenant_world: World) -> None:
    repository = tenant_world.repository
    for version, days in ((1, 10), (2, 20), (3, 30)):
        document = {"stale_branch": {"idle_days": days}}
        store("tenant", document, version=version, tenant=tenant_world.tenant)

    policy = load_policies([repository.pk]).for_branch(repository.pk, "")

    assert policy.stale_branch.idle_days == 30


def test_layers_of_other_tenants_workspaces_and_repositories_do_not_reach_in(
    tenant_world: World,
) -> None:
    tenant = tenant_world.tenant
    elsewhere = WorkspaceFactory.create(tenant=tenant, slug="elsewhere")
    sibling = RepositoryFactory.create(tenant=tenant, slug="sibling")
    loud = {"stale_branch": {"idle_days": 1}}
    store("tenant", loud, tenant=tenant_world.stranger)
    store("workspace", loud, tenant=tenant, workspace=elsewhere)
    store("repository", loud, **of_repository(sibling))
    store("branch", loud, branch_pattern="**", **of_repository(sibling))

    policy = load_policies([tenant_world.repository.pk, sibling.pk]).for_branch(
        tenant_world.repository.pk, "main"
    )

    assert policy.stale_branch.idle_days == 60


def test_a_repository_that_moved_keeps_its_newest_policy(tenant_world: World) -> None:
    repository = tenant_world.repository
    store("repository", {"stale_branch": {"idle_days": 10}}, **of_repository(repository))
    repository.workspace = WorkspaceFactory.create(tenant=tenant_world.tenant, slug="other")
    repository.save()
    document = {"stale_branch": {"idle_days": 20}}
    store("repository", document, version=2, **of_repository(repository))

    policy = load_policies([repository.pk]).for_branch(repository.pk, "")

    assert policy.stale_branch.idle_days == 20


def test_loading_costs_two_statements_for_one_repository_and_for_sixty(
    django_assert_num_queries: Queries,
) -> None:
    repositories = []
    for number in range(60):
        tenant = TenantFactory.create(slug=f"tenant-{number % 7}")
        repositories.append(RepositoryFactory.create(tenant=tenant))
    for repository in repositories[::3]:
        document = {"stale_branch": {"idle_days": repository.pk % 90 + 1}}
        store("repository", document, **of_repository(repository))
        store("branch", document, branch_pattern="release/*", **of_repository(repository))

    with django_assert_num_queries(2):
        one = load_policies([repositories[0].pk])
        one.for_branch(repositories[0].pk, "main")
    with django_assert_num_queries(2):
        resolver = load_policies([repository.pk for repository in repositories])
        for repository in repositories:
            for branch in ("", "main", "release/1"):
                resolver.for_branch(repository.pk, branch)


def test_equal_layers_give_one_and_the_same_policy(tenant_world: World) -> None:
    sibling = RepositoryFactory.create(tenant=tenant_world.tenant, slug="sibling")
    resolver = load_policies([sibling.pk, tenant_world.repository.pk])

    policies = [
        resolver.for_branch(pk, branch)
        for pk in (sibling.pk, tenant_world.repository.pk)
        for branch in ("", "main")
    ]

    assert len({id(policy) for policy in policies}) == 1


def test_a_repository_that_was_not_loaded_is_named(tenant_world: World) -> None:
    resolver = load_policies([tenant_world.repository.pk])

    with pytest.raises(UnknownRepository, match="987654"):
        resolver.for_branch(987654, "")


def test_policies_are_remembered_once_by_content_in_one_statement(
    tenant_world: World, now: datetime, django_assert_num_queries: Queries
) -> None:
    repository = tenant_world.repository
    store(
        "branch",
        {"head_drift": {"mode": "off"}},
        branch_pattern="sandbox/*",
        **of_repository(repository),
    )
    resolver = load_policies([repository.pk])
    policies = [resolver.for_branch(repository.pk, name) for name in ("main", "sandbox/x", "dev")]

    for _ in range(2):
        with django_assert_num_queries(1):
            remember_policies(policies, documents=resolver.documents, now=now)

    rows = {row.digest: row for row in EffectivePolicy.objects.all()}
    assert set(rows) == {policy.digest for policy in policies}
    assert len(rows) == 2
    for row in rows.values():
        document = json.loads(row.document)
        assert (policy_from_document(document).digest, document_text(document)) == (
            row.digest,
            row.document,
        )
        assert row.first_used_at == now


def test_the_first_use_of_a_policy_is_not_overwritten(tenant_world: World, now: datetime) -> None:
    resolver = load_policies([tenant_world.repository.pk])
    policy = resolver.for_branch(tenant_world.repository.pk, "")
    remember_policies([policy], documents=resolver.documents, now=now)

    remember_policies([policy], documents=resolver.documents, now=now.replace(year=2030))

    assert EffectivePolicy.objects.get().first_used_at == now


def test_remembering_nothing_asks_the_database_nothing(
    now: datetime, django_assert_num_queries: Queries
) -> None:
    with django_assert_num_queries(0):
        remember_policies([], documents={}, now=now)
