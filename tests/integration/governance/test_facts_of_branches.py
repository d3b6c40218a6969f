"""What the reconciler asks about branches comes back for those branches, and for no other."""

import pytest

from governance.selectors.change_facts import (
    gates_by_sha,
    pull_requests_by_branch,
    running_runs_by_branch,
    runs_by_branch,
    runs_by_head,
)
from governance.selectors.lease_facts import leases_by_branch
from tests.conftest import World
from tests.factories.governance import (
    HEAD_A,
    HEAD_B,
    NOON,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
)

pytestmark = pytest.mark.django_db


def test_branches_of_one_name_in_two_repositories_are_not_mixed_up(tenant_world: World) -> None:
    here = tenant_world.repository
    there = RepositoryFactory.create(tenant=tenant_world.tenant, slug="web")
    for repository in (here, there):
        for branch in ("main", "topic"):
            name = f"{repository.slug}-{branch}"
            head = HEAD_A if branch == "main" else HEAD_B
            RunRecordFactory.create(
                repository=repository, branch=branch, run_id=name, head_sha=head, status="running"
            )
            LeaseFactory.create(repository=repository, branch=branch, lease_id=name)
    keys = {(here.pk, "main"), (there.pk, "topic")}
    heads = {(here.pk, HEAD_A), (there.pk, HEAD_B)}

    assert runs_by_branch(keys).keys() == keys
    assert running_runs_by_branch(keys).keys() == keys
    assert runs_by_head(heads).keys() == heads
    assert leases_by_branch(keys, now=NOON).keys() == keys
    assert pull_requests_by_branch(keys) == {}
    assert gates_by_sha(heads) == {}
