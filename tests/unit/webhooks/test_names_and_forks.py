"""Names that git refuses are refused at the one door; forks are told by ids or by names."""

import json
from copy import deepcopy
from typing import Any

import pytest

from reconciliation.webhooks.dialects import parse
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody

BAD = "../../x"
OURS = {"id": 7, "full_name": "acme/api", "default_branch": "main"}
PULL_REQUEST: dict[str, Any] = {
    "action": "opened",
    "number": 3,
    "pull_request": {
        "number": 3,
        "state": "open",
        "merged": False,
        "head": {"ref": "topic", "sha": "a" * 40, "repo": OURS},
        "base": {"ref": "main", "sha": "b" * 40, "repo": OURS},
    },
    "repository": OURS,
}
GENERIC: dict[str, Any] = {
    "type": "pull_request",
    "timestamp": "2026-03-02T12:00:00Z",
    "data": {
        "repository": {"id": "7", "full_name": "acme/api"},
        "pull_request": {
            "number": 3,
            "action": "opened",
            "state": "open",
            "head": {"branch": "topic", "sha": "a" * 40, "repository": "acme/api"},
            "base": {"branch": "main", "sha": "b" * 40, "repository": "acme/api"},
        },
    },
}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    found = deepcopy(document)
    *parents, last = path.split("/")
    place = found
    for name in parents:
        place = place[name]
    place[last] = value
    return found


def github(document: dict[str, Any], event: str = "pull_request") -> Any:
    headers = Headers([("X-GitHub-Event", event)])
    [found] = parse(HostKind.GITHUB, headers, json.dumps(document).encode()).events
    return found


def generic(document: dict[str, Any]) -> Any:
    [found] = parse(HostKind.GENERIC, Headers([]), json.dumps(document).encode()).events
    return found


def test_the_pull_requests_that_these_tests_start_from_are_no_forks() -> None:
    assert not github(PULL_REQUEST).pull_request.from_fork
    assert not generic(GENERIC).pull_request.from_fork


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("pull_request/head/ref", "/branch"),
        ("pull_request/base/ref", "/base_branch"),
        ("repository/default_branch", "/default_branch"),
    ],
)
def test_a_branch_that_git_refuses_is_a_bad_name_wherever_it_stands(path: str, where: str) -> None:
    with pytest.raises(MalformedBody) as refusal:
        github(changed(PULL_REQUEST, path, BAD))

    assert (refusal.value.code, refusal.value.where) == ("bad_name", where)


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_a_ref_that_is_created_with_a_name_that_git_refuses_is_refused(kind: str) -> None:
    document = {"ref": BAD, "ref_type": kind, "repository": OURS}

    with pytest.raises(MalformedBody, match="bad_name"):
        github(document, event="create")


@pytest.mark.parametrize(
    ("member", "value"), [("id", 8), ("full_name", "mallory/api"), ("full_name", "acme/api2")]
)
def test_a_pull_request_is_from_a_fork_when_ids_or_names_differ(member: str, value: Any) -> None:
    document = changed(PULL_REQUEST, "pull_request/head/repo", OURS | {member: value})

    assert github(document).pull_request.from_fork


def test_a_sender_that_denies_a_fork_is_not_believed_when_the_names_differ() -> None:
    document = changed(GENERIC, "data/pull_request/head/repository", "mallory/api")

    assert generic(changed(document, "data/pull_request/from_fork", False)).pull_request.from_fork
