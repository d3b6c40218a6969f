"""An event that is dated in the far future outranks nothing that comes after it."""

from typing import Any

import pytest

from governance.models import GateResult, PullRequest
from tests.factories.governance import HEAD_A
from tests.functional.loop.announcing import REPOSITORY, _say
from tests.functional.loop.test_the_loop import Loop, loop

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

FAR = "9999-12-31T23:59:59Z"


def announce_gate(loop: Loop, state: str, updated_at: str) -> None:
    gate = {"sha": HEAD_A, "context": "ci", "state": state, "branches": []}
    _say(loop, "status", gate | {"updated_at": updated_at})
    loop.drain()


def announce_request(loop: Loop, action: str, state: str, updated_at: str) -> None:
    side: dict[str, Any] = {"sha": HEAD_A, "repo": REPOSITORY}
    request = {
        "number": 4,
        "state": state,
        "merged": False,
        "head": side | {"ref": "topic"},
        "base": side | {"ref": "main"},
        "updated_at": updated_at,
    }
    _say(loop, "pull_request", {"action": action, "number": 4, "pull_request": request})
    loop.drain()


def test_a_gate_of_the_year_9999_is_undone_by_the_next_result(loop: Loop) -> None:
    announce_gate(loop, "success", FAR)
    announce_gate(loop, "failure", loop.now.isoformat())

    assert GateResult.objects.get().state == "failure"


def test_a_pull_request_of_the_year_9999_is_closed_by_the_next_event(loop: Loop) -> None:
    announce_request(loop, "opened", "open", FAR)
    announce_request(loop, "closed", "closed", loop.now.isoformat())

    row = PullRequest.objects.get()
    assert row.state == "closed"
    assert row.host_updated_at is not None
    assert row.host_updated_at.year < 9999
