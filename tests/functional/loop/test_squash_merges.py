"""A squash-merged branch is found to be merged though ancestry cannot see it."""

from datetime import timedelta

import pytest

from governance.models import Branch
from reconciliation.models import Finding
from reconciliation.remotes.base import RemoteTarget
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import CORRELATION_ID, HEAD_A
from tests.functional.loop.test_the_loop import Loop, loop

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

TOPIC_1, TOPIC_2, SQUASHED, OTHER = "1" * 40, "2" * 40, "3" * 40, "4" * 40


@pytest.mark.parametrize(
    ("squashed_files", "stable_class", "merged_by"),
    [
        ({"README": "1", "a": "new", "b": "new"}, "merged", "equivalence"),
        ({"README": "1", "a": "new", "b": "other"}, "unmerged", ""),
        ({"README": "1", "a": "new"}, "unmerged", ""),
    ],
    ids=["the same change", "another blob", "only half of it"],
)
def test_a_branch_is_merged_when_one_commit_of_the_target_makes_the_same_change(
    loop: Loop, squashed_files: dict[str, str], stable_class: str, merged_by: str
) -> None:
    remote, url = loop.remote, loop.url
    remote.push(
        url,
        "topic",
        MemoryCommit(TOPIC_1, (HEAD_A,), files={"README": "1", "a": "new"}),
        MemoryCommit(TOPIC_2, (TOPIC_1,), files={"README": "1", "a": "new", "b": "new"}),
    )
    remote.push(
        url,
        "main",
        MemoryCommit(SQUASHED, (HEAD_A,), files=squashed_files),
        MemoryCommit(OTHER, (SQUASHED,), files={**squashed_files, "c": "later"}),
    )
    target = RemoteTarget(url, str(loop.repository.pk))
    remote.sync(target, {"main": OTHER, "topic": TOPIC_2})
    Branch.objects.filter(repository=loop.repository, name="main").update(
        observed_head=OTHER, governed_head=OTHER
    )
    Branch.objects.create(
        repository=loop.repository,
        name="topic",
        observed_head=TOPIC_2,
        governed_head=TOPIC_2,
        first_seen_at=loop.now - timedelta(days=400),
        last_activity_at=loop.now - timedelta(days=400),
    )
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=False,
        trigger="manual",
        budget=Budget(repositories=1, per_tenant=1),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )

    loop.drain()

    finding = Finding.objects.get(branch="topic", check_kind="stale_branch")
    assert (finding.stable_class, finding.actual["merged_by"]) == (stable_class, merged_by)
