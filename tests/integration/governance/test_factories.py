"""The factories' rows satisfy the database, and the client they make is let in."""

import pytest

from governance.models import ApiToken
from tests.conftest import World
from tests.factories.governance import (
    BranchFactory,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
    TenantFactory,
    api_client,
)

pytestmark = pytest.mark.django_db


def test_every_factory_makes_a_row_out_of_nothing() -> None:
    rows = [
        factory.create()
        for factory in (RepositoryFactory, BranchFactory, LeaseFactory, RunRecordFactory)
    ]

    assert all(row.pk for row in rows)


def test_a_repository_lies_in_a_workspace_of_its_own_tenant() -> None:
    acme = TenantFactory.create(slug="acme")

    repositories = RepositoryFactory.create_batch(2, tenant=acme)

    assert {repository.workspace.tenant for repository in repositories} == {acme}


def test_an_ended_run_has_an_end_and_a_successful_one_a_head() -> None:
    run = RunRecordFactory.create(status="succeeded")

    assert (run.ended_at is not None, len(run.head_sha)) == (True, 40)


def test_two_clients_bear_two_tokens(tenant_world: World) -> None:
    api_client()
    api_client(["leases"], tenant_world.tenant)

    tokens = ApiToken.objects.order_by("id").values_list("tenant__slug", "scopes")
    assert list(tokens) == [(None, ["read"]), ("acme", ["leases"])]
