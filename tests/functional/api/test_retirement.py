"""What speaks of retiring a branch, and who pushed to it: over the API and on its page."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.test import APIClient

from governance.models import Branch, PullRequest
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import CORRELATION_ID, HEAD_A, HEAD_B, BranchFactory
from tests.functional.api.test_branches import admin
from tests.functional.loop.test_the_loop import Loop, loop

__all__ = ["admin", "loop"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def idle(loop: Loop) -> Loop:
    """Return a loop with a topic that nobody touched for a year."""
    loop.remote.reset(loop.url, "topic", HEAD_A)
    BranchFactory.create(
        repository=loop.repository,
        name="topic",
        branch_class="other",
        observed_head=HEAD_A,
        governed_head=HEAD_A,
        last_activity_at=loop.now - timedelta(days=365),
    )
    return loop


def stack(loop: Loop, number: int, **values: Any) -> None:
    known = {"state": "open", "head_branch": f"child-{number}", "head_sha": HEAD_B}
    PullRequest.objects.create(
        repository=loop.repository,
        number=number,
        base_branch="topic",
        seen_at=loop.now,
        **known | values,
    )


def check(loop: Loop) -> None:
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=False,
        trigger="manual",
        budget=Budget(repositories=0, per_tenant=1),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    loop.drain()


def over_the_api(client: APIClient, branch: str = "topic") -> dict[str, Any]:
    answer = client.get(f"/api/v1/repositories/acme/api/branches/{branch}")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def on_its_page(branch: str = "topic") -> str:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    answer = client.get(f"/repositories/acme/api/branches/{branch}")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_branch_that_was_never_checked_says_so(idle: Loop, admin: APIClient) -> None:
    assert over_the_api(admin)["retirement"] is None


def test_the_pull_requests_that_a_deletion_would_close_are_listed_in_parts(
    idle: Loop, admin: APIClient
) -> None:
    stack(idle, 9)
    stack(idle, 8, from_fork=True)
    stack(idle, 7, state="closed")
    check(idle)

    retirement = over_the_api(admin)["retirement"]

    assert retirement["decision"] == "exempt"
    assert retirement["reason"] == "open_pull_request_onto: deleting it would close #8, #9"
    assert retirement["is_outdated"] is False
    assert retirement["evidence"] == {
        "head_sha": HEAD_A,
        "restore_command": f"git push origin {HEAD_A}:refs/heads/topic",
        "merged_by": "ancestry",
        "merge_unknown": "",
        "merged_pull_requests": [],
        "would_close": [
            {"number": 8, "head_branch": "child-8", "head_sha": HEAD_B, "from_fork": True},
            {"number": 9, "head_branch": "child-9", "head_sha": HEAD_B, "from_fork": False},
        ],
    }


def test_the_page_lists_them_with_the_way_back(idle: Loop) -> None:
    stack(idle, 9)
    stack(idle, 8, from_fork=True)
    check(idle)

    page = on_its_page()

    assert "Deleting it would close" in page
    assert "from child-9" in page
    assert "from child-8 of a fork" in page
    assert f"git push origin {HEAD_A}:refs/heads/topic" in page


def test_a_recommendation_would_close_nothing_and_is_outdated_once_the_branch_moves(
    idle: Loop, admin: APIClient
) -> None:
    check(idle)
    Branch.objects.filter(name="topic").update(observed_head=HEAD_B)

    retirement = over_the_api(admin)["retirement"]

    assert retirement["decision"] == "recommend_retirement"
    assert retirement["evidence"]["would_close"] == []
    assert retirement["is_outdated"] is True


def test_every_push_of_a_drift_is_told(loop: Loop, admin: APIClient) -> None:
    loop.move("main", HEAD_B)
    between = "8" * 40
    loop.announce("main", HEAD_A, between, pusher="mallory")
    loop.announce("main", between, HEAD_B, pusher="alice")
    loop.settle()

    pushes = over_the_api(admin, "main")["pushes"]

    assert [(push["pusher"], push["before"], push["after"]) for push in pushes] == [
        ("mallory", HEAD_A, between),
        ("alice", between, HEAD_B),
    ]
