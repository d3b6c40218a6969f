"""Requests recorded from real hosts come out as their manifest says, field by field.

The recordings are third-party material kept beside the project: without them these tests skip.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciliation.webhooks.dialects import detect_host, parse
from reconciliation.webhooks.events import NormalisedEvent
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.signatures import Secret, verify

BESIDE_THE_PROJECT = Path(__file__).parents[4] / "shared" / "data"
RECORDINGS = Path(os.environ.get("RECORDED_REQUESTS", str(BESIDE_THE_PROJECT))) / "payloads"

NOT_MODELLED = {"note", "head_label"}


@dataclass(frozen=True)
class Case:
    """One recorded request and what is expected of it."""

    folder: Path
    entry: dict[str, Any]

    @property
    def host(self) -> HostKind:
        # Pagure is one of the senders a generic source understands.
        name = self.entry["host"]
        return HostKind.GENERIC if name == "pagure" else HostKind(name)

    @property
    def expected(self) -> dict[str, Any]:
        expected: dict[str, Any] = self.entry["expected"]
        return expected

    @property
    def body(self) -> bytes:
        return (self.folder / str(self.entry["file"])).read_bytes()

    @property
    def headers(self) -> Headers:
        sent = json.loads((self.folder / self.entry["headers_file"]).read_text())
        return Headers((name, value) for name, value in sent["headers"])

    @property
    def secret(self) -> str:
        value: str = self.entry["secret"] or ""
        return value.removeprefix("basic: ").replace(" / ", ":")

    @property
    def clock(self) -> int:
        moment: int = self.entry.get(
            "evaluate_at_unix", self.expected.get("evaluate_at_unix", 1_795_000_000)
        )
        return moment


def recorded_cases() -> Iterator[Any]:
    for manifest in sorted(RECORDINGS.glob("*/MANIFEST.json")):
        for entry in json.loads(manifest.read_text())["cases"]:
            label = f"{manifest.parent.name}/{entry['file']}"
            yield pytest.param(Case(manifest.parent, entry), id=label)


ALL = list(recorded_cases())
NONE = [pytest.param(None, id="none")]
BAD = [case for case in ALL if case.values[0].expected["outcome"] == "rejected"]
without_recordings = pytest.mark.skipif(not ALL, reason="no recorded requests beside the project")
every_case = pytest.mark.parametrize("case", ALL or NONE)
good_cases = pytest.mark.parametrize("case", [case for case in ALL if case not in BAD] or NONE)
bad_cases = pytest.mark.parametrize("case", BAD or NONE)


@without_recordings
@good_cases
def test_a_recorded_request_is_proven_by_its_secret(case: Case) -> None:
    live = [Secret("old", "a secret that was rotated out"), Secret("current", case.secret)]

    verdict = verify(case.host, case.headers, case.body, live, now_unix=case.clock)

    assert (verdict.ok, verdict.secret_id, verdict.reason) == (True, "current", "ok")


@without_recordings
@good_cases
def test_a_recorded_request_with_one_changed_byte_is_refused(case: Case) -> None:
    live = [Secret("current", case.secret)]
    changed = case.body.replace(b":", b" :", 1)

    verdict = verify(case.host, case.headers, changed, live, now_unix=case.clock)

    # A token and basic authentication prove the sender, not the body.
    assert verdict.ok == ("x-gitlab-token" in case.headers or case.host is HostKind.AZURE)


@without_recordings
@bad_cases
def test_a_request_recorded_as_rejected_is_refused_or_malformed(case: Case) -> None:
    live = [Secret("current", case.secret)]

    if verify(case.host, case.headers, case.body, live, now_unix=case.clock).ok:
        with pytest.raises(MalformedBody):
            parse(case.host, case.headers, case.body)


@without_recordings
@good_cases
def test_a_recorded_request_is_read_as_recorded(case: Case) -> None:
    announcement = parse(case.host, case.headers, case.body)

    assert announcement.outcome in {case.expected["outcome"], case.expected.get("also_ok")}
    if announcement.outcome == "ignored":
        assert announcement.events == ()
        return
    jobs = case.expected.get("jobs", [case.expected])
    assert len(announcement.events) == len(jobs)
    for event, job in zip(announcement.events, jobs, strict=True):
        assert_as_recorded(event, case.expected | job)


@without_recordings
@every_case
def test_the_sender_of_a_recorded_request_is_told_from_its_headers(case: Case) -> None:
    assert detect_host(case.headers) == case.host


@without_recordings
@good_cases
def test_what_a_recorded_request_said_survives_storage(case: Case) -> None:
    for event in parse(case.host, case.headers, case.body).events:
        stored = json.loads(json.dumps(event.as_json()))
        assert NormalisedEvent.from_json(stored) == event


def assert_as_recorded(event: NormalisedEvent, job: dict[str, Any]) -> None:
    plain = {
        "kind": event.kind.value,
        "repo_full_name": event.repository.full_name,
        "repo_id": event.repository.host_id,
        "ref_type": event.ref_type,
        "branch": event.branch,
        "tag": event.tag,
        "before": event.before,
        "after": event.after,
        "created": event.created,
        "deleted": event.deleted,
        "forced": event.forced,
        "actor": event.actor,
    }
    wanted = {name: job[name] for name in plain if name in job}
    if wanted.get("repo_id") is not None:
        wanted["repo_id"] = str(wanted["repo_id"])
    assert {name: plain[name] for name in wanted} == wanted
    if job.get("pr"):
        assert_pull_request_as_recorded(event, job["pr"])
    if job.get("status"):
        assert_status_as_recorded(event, job["status"])


def assert_pull_request_as_recorded(event: NormalisedEvent, wanted: dict[str, Any]) -> None:
    state = event.pull_request
    assert state is not None
    plain = {
        "number": state.number,
        "action": state.action,
        "state": state.raw_state,
        "merged": state.merged,
        "draft": state.draft,
        "head_ref": state.head_branch,
        "head_sha": state.head_sha,
        "head_repo": state.head_repository,
        "base_ref": state.base_branch,
        "base_sha": state.base_sha,
        "base_repo": state.base_repository,
        "merge_commit_sha": state.merge_sha,
        "from_fork": state.from_fork,
    }
    assert set(wanted) <= set(plain) | NOT_MODELLED
    compared = {name: value for name, value in wanted.items() if name not in NOT_MODELLED}
    assert {name: plain[name] for name in compared} == compared
    assert state.merged is (state.state == "merged")


def assert_status_as_recorded(event: NormalisedEvent, wanted: dict[str, Any]) -> None:
    status = event.status
    assert status is not None
    plain = {
        "sha": status.sha,
        "state": status.raw_state,
        "context": status.context,
        "branches": sorted(status.branches),
        "source_event": status.source_event,
    }
    assert set(wanted) <= set(plain)
    if "branches" in wanted:
        wanted = wanted | {"branches": sorted(wanted["branches"])}
    assert {name: plain[name] for name in wanted} == wanted
