"""Pushes below a leased path are seen, and a branch that comes back as it was is forgiven."""

from datetime import timedelta

import pytest

from reconciliation.models import Finding
from tests.factories.governance import HEAD_A, HEAD_B, LeaseFactory
from tests.factories.webhooks import ZERO
from tests.functional.loop.test_the_loop import Loop, loop

__all__ = ["loop"]

pytestmark = pytest.mark.django_db


def test_a_push_that_touches_paths_leased_to_another_is_told(loop: Loop) -> None:
    LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        scope="path-prefix",
        paths=["README"],
        acquired_at=loop.now,
        expires_at=loop.now + timedelta(days=3650),
        max_expires_at=loop.now + timedelta(days=3650),
    )
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")

    loop.settle()

    finding = Finding.objects.get(check_kind="head_drift")
    assert "drift.not_lease_holder" in {hit["rule"] for hit in finding.rule_hits}


def test_a_deletion_is_forgotten_when_the_governed_head_is_back(loop: Loop) -> None:
    loop.remote.delete_branch(loop.url, "main")
    loop.announce("main", HEAD_A, ZERO)
    loop.settle()
    assert loop.branch().gone_at is not None
    loop.remote.reset(loop.url, "main", HEAD_A)
    loop.announce("main", ZERO, HEAD_A)

    loop.settle()

    assert loop.branch().gone_at is None
