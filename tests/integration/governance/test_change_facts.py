"""What checks ask about changes: the answer is of the branches and commits named, of no others."""

import pytest

from governance.models import RunStatus
from governance.selectors.change_facts import (
    running_runs_by_branch,
    runs_by_branch,
    runs_by_head,
)
from tests.factories.governance import RepositoryFactory, RunRecordFactory

pytestmark = pytest.mark.django_db


def test_a_branch_of_the_same_name_in_another_repository_is_not_in_the_answer() -> None:
    ours, theirs = RepositoryFactory.create(), RepositoryFactory.create()
    for repository in (ours, theirs):
        for branch, head in (("main", "a" * 40), ("develop", "b" * 40)):
            RunRecordFactory.create(
                repository=repository, branch=branch, head_sha=head, status=RunStatus.RUNNING
            )
    branches = {(ours.pk, "develop"), (theirs.pk, "main")}
    heads = {(ours.pk, "b" * 40), (theirs.pk, "a" * 40)}

    assert set(runs_by_branch(branches)) == branches
    assert set(running_runs_by_branch(branches)) == branches
    assert set(runs_by_head(heads)) == heads
