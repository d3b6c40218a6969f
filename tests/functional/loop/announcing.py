"""What GitHub announces besides pushes, sent to the receiver of a test's loop."""

import json
from typing import Any

from django.test import Client

from tests.factories.webhooks import github_headers
from tests.functional.loop.test_the_loop import Loop

REPOSITORY = {
    "id": 7,
    "full_name": "acme/api",
    "clone_url": "https://git.example/acme/api.git",
    "default_branch": "main",
}


def announce_gate(loop: Loop, sha: str, context: str, state: str) -> None:
    """Say that a gate came to a result at a commit, without naming a branch."""
    _say(
        loop,
        "status",
        {
            "sha": sha,
            "context": context,
            "state": state,
            "branches": [],
            "updated_at": loop.now.isoformat(),
        },
    )


def announce_pull_request(loop: Loop, number: int, *, head: str, sha: str) -> None:
    """Say that somebody opened a pull request onto main."""
    request = {
        "number": number,
        "title": "",
        "state": "open",
        "merged": False,
        "user": {"login": "alice"},
        "head": {"ref": head, "sha": sha, "repo": REPOSITORY},
        "base": {"ref": "main", "sha": "a" * 40, "repo": REPOSITORY},
        "labels": [],
        "updated_at": loop.now.isoformat(),
    }
    _say(loop, "pull_request", {"action": "opened", "number": number, "pull_request": request})


def announce_merge(
    loop: Loop, number: int, *, head: str, sha: str, merge_sha: str, from_fork: bool = False
) -> None:
    """Say that a pull request onto main was merged."""
    fork = REPOSITORY | {"id": 8, "full_name": "mallory/api"}
    request = {
        "number": number,
        "title": "",
        "state": "closed",
        "merged": True,
        "merge_commit_sha": merge_sha,
        "merged_at": loop.now.isoformat(),
        "user": {"login": "alice"},
        "head": {"ref": head, "sha": sha, "repo": fork if from_fork else REPOSITORY},
        "base": {"ref": "main", "sha": "a" * 40, "repo": REPOSITORY},
        "labels": [],
        "updated_at": loop.now.isoformat(),
    }
    _say(loop, "pull_request", {"action": "closed", "number": number, "pull_request": request})


def _say(loop: Loop, event: str, document: dict[str, Any]) -> None:
    loop.deliveries += 1
    body = json.dumps(document | {"repository": REPOSITORY, "sender": {"login": "ci"}}).encode()
    answer: Any = Client().post(
        f"/api/v1/webhooks/{loop.source.token}",
        data=body,
        content_type="application/json",
        headers=github_headers(body, event=event, delivery=f"delivery-{loop.deliveries}"),
    )
    assert answer.status_code == 202, answer.content
