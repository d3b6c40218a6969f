"""Every event we handle, and every trap we know, in payloads of our own."""

import json
from collections import defaultdict

import pytest

from reconciliation.webhooks.dialects import DIALECTS, detect_host, event_name, parse
from reconciliation.webhooks.events import EventKind, NormalisedEvent
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from tests.unit.webhooks.own_payloads import OwnPayload, own_payloads, without_blanks

ALL = tuple(own_payloads())
every_payload = pytest.mark.parametrize("payload", [pytest.param(p, id=p.name) for p in ALL])


@every_payload
def test_a_request_announces_exactly_what_is_written_beside_it(payload: OwnPayload) -> None:
    announcement = parse(payload.host, payload.headers, payload.body)

    said = {
        "event_name": announcement.event_name,
        "delivery_id": announcement.delivery_id,
        "outcome": announcement.outcome,
        "reason": announcement.reason,
        "events": [without_blanks(event.as_json()) for event in announcement.events],
    }
    assert said == payload.expected


@every_payload
def test_what_was_announced_survives_storage(payload: OwnPayload) -> None:
    for event in parse(payload.host, payload.headers, payload.body).events:
        stored = json.dumps(event.as_json())

        assert NormalisedEvent.from_json(json.loads(stored)) == event
        assert stored == json.dumps(event.as_json(), sort_keys=True)


@every_payload
def test_a_replay_from_the_headers_kept_announces_the_same(payload: OwnPayload) -> None:
    kept = Headers(payload.headers.kept().items())

    assert parse(payload.host, kept, payload.body) == parse(
        payload.host, payload.headers, payload.body
    )


@every_payload
def test_the_sender_is_told_from_its_headers(payload: OwnPayload) -> None:
    assert detect_host(payload.headers) == payload.host


def test_every_handled_event_has_a_payload_of_its_own() -> None:
    shown = defaultdict(set)
    for payload in ALL:
        shown[payload.host].add(payload.expected["event_name"])

    unshown = {host: sorted(set(DIALECTS[host].handled) - shown[host]) for host in HostKind}

    # The rest share a reader, and a shape, with one that is shown.
    assert {host.value: names for host, names in unshown.items() if names} == {
        "bitbucket_dc": ["pr:declined", "pr:reopened", "pr:to_ref_updated"],
        "generic": [
            "commit.flag.added",
            "git.branch.deletion",
            "git.tag.creation",
            "pull-request.initial_comment.edited",
            "pull-request.rebased",
            "pull-request.reopened",
            "pull-request.tag.added",
            "pull-request.tag.removed",
            "pull-request.updated",
        ],
    }


def test_every_kind_of_event_is_announced_by_some_host() -> None:
    kinds = {event["kind"] for payload in ALL for event in payload.expected["events"]}

    assert kinds == {kind.value for kind in EventKind}


def test_no_event_is_both_handled_and_ignored() -> None:
    both = {host: set(DIALECTS[host].handled) & set(DIALECTS[host].ignored) for host in HostKind}

    assert not any(both.values())


@pytest.mark.parametrize("host", list(HostKind))
def test_each_ignored_event_has_a_reason_that_a_person_can_read(host: HostKind) -> None:
    assert DIALECTS[host].ignored
    assert all(len(reason) >= 5 for reason in DIALECTS[host].ignored.values())


def test_the_name_of_an_event_is_known_before_its_body_is_read_where_headers_tell() -> None:
    names = {
        host: {event_name(p.host, p.headers) for p in ALL if p.host is host} for host in HostKind
    }

    assert names[HostKind.AZURE] == {None}
    assert "repo:push" in names[HostKind.BITBUCKET]
    assert "Push Hook" in names[HostKind.GITLAB]
