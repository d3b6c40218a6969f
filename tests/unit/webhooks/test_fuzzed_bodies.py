"""Whatever arrives, a dialect gives an announcement or MalformedBody, and nothing else."""

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciliation.webhooks.dialects import delivery_id, detect_host, event_name, parse
from reconciliation.webhooks.events import Announcement, NormalisedEvent
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.signatures import Secret, verify
from tests.unit.webhooks.own_payloads import OwnPayload, own_payloads

SEEDS = {host: [p for p in own_payloads() if p.host is host] for host in HostKind}
SECRETS = (Secret("1", "user:s3cret"), Secret("2", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="))

# The same requests on every run: a failure here must be one that the next person sees too.
steady = settings(max_examples=150, deadline=None, derandomize=True, database=None)

STRANGE_TEXT = st.sampled_from(
    [
        "",
        "\x00",
        "a\x00b",
        "\ud800",
        "refs/heads/",
        "refs/tags/",
        "refs/",
        "refs/heads/refs/heads/x",
        "0" * 40,
        "0" * 64,
        "0" * 41,
        "é" * 600,
        "../../etc/passwd",
        "-x",
        "1e999",
        "9999-99-99T99:99:99Z",
        "2026-03-02T12:00:00+99:99",
        "LG:refs/heads/main:x",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    STRANGE_TEXT,
    st.text(max_size=20),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(item, (*path, key))
    return found


PLACES = {p.name: places(p.json_body) for seeds in SEEDS.values() for p in seeds}


def changed(body: dict[str, Any], data: st.DataObject, name: str) -> dict[str, Any]:
    """Replace or remove one to three values of a body."""
    result = copy.deepcopy(body)
    for path in data.draw(st.lists(st.sampled_from(PLACES[name]), min_size=1, max_size=3)):
        parent: Any = result
        try:
            for key in path[:-1]:
                parent = parent[key]
            if data.draw(st.booleans()):
                parent[path[-1]] = data.draw(VALUES)
            else:
                del parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # An earlier change took this place away.
    return result


def outcome_of(host: HostKind, headers: Headers, body: bytes) -> Announcement | MalformedBody:
    try:
        return parse(host, headers, body)
    except MalformedBody as refusal:
        return refusal


def assert_understood_or_refused(host: HostKind, headers: Headers, body: bytes) -> None:
    announcement = outcome_of(host, headers, body)
    if isinstance(announcement, MalformedBody):
        assert announcement.code
        assert 0 < len(str(announcement).encode()) <= 250
        return
    assert bool(announcement.events) == (announcement.outcome == "accepted")
    for event in announcement.events:
        assert not (event.ref_type == "tag" and event.branch)
        assert not (event.ref_type == "branch" and event.tag)
        stored = json.dumps(event.as_json()).encode()
        assert b"\\u0000" not in stored
        assert NormalisedEvent.from_json(json.loads(stored)) == event


def seeds(host: HostKind) -> st.SearchStrategy[OwnPayload]:
    return st.sampled_from([p for p in SEEDS[host] if PLACES[p.name]])


@pytest.mark.parametrize("host", list(HostKind))
def test_a_body_with_changed_values_is_understood_or_refused(host: HostKind) -> None:
    @steady
    @given(st.data())
    def run(data: st.DataObject) -> None:
        payload = data.draw(seeds(host))
        body = changed(payload.json_body, data, payload.name)
        headers = Headers([("Content-Type", "application/json"), *header_pairs(payload)])
        assert_understood_or_refused(host, headers, json.dumps(body).encode())

    run()


@pytest.mark.parametrize("host", list(HostKind))
def test_a_cut_or_spliced_body_is_understood_or_refused(host: HostKind) -> None:
    @steady
    @given(st.data())
    def run(data: st.DataObject) -> None:
        payload = data.draw(seeds(host))
        body = payload.body
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, len(body)))
        spliced = body[:start] + data.draw(st.binary(max_size=12)) + body[end:]
        assert_understood_or_refused(host, payload.headers, spliced)

    run()


def test_a_full_name_of_two_long_parts_in_wide_characters_survives_storage() -> None:
    repository = {"id": 1, "slug": "\U0001f30a" * 240, "project": {"key": "\U0001f30b" * 240}}
    body = {"eventKey": "repo:modified", "old": repository, "new": repository}

    assert_understood_or_refused(HostKind.BITBUCKET_DC, Headers([]), json.dumps(body).encode())
    assert parse(HostKind.BITBUCKET_DC, Headers([]), json.dumps(body).encode()).events


LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
NAMES = st.sampled_from(
    [
        "content-type",
        "x-github-event",
        "x-gitlab-event",
        "x-gitea-event",
        "x-forgejo-event",
        "x-gogs-event",
        "x-event-key",
        "x-pagure-topic",
        "x-github-delivery",
        "x-request-id",
        "idempotency-key",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-gitlab-token",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-gitea-signature",
        "x-gogs-signature",
        "x-forgejo-signature",
        "x-pagure-signature-256",
        "authorization",
        "user-agent",
    ]
)
HEADER_VALUES = st.one_of(
    LATIN,
    st.text(max_size=10),
    st.sampled_from(
        [
            "push",
            "Push Hook",
            "repo:push",
            "application/x-www-form-urlencoded",
            "sha256=" + "0" * 64,
            "sha256=" + "\u0660" * 64,
            "0" * 64,
            "v1," + "A" * 43 + "=",
            "Basic dXNlcjpzM2NyZXQ=",
            "Basic ====",
            "1772452800",
        ]
    ),
)


@steady
@given(
    host=st.sampled_from(HostKind),
    pairs=st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=8),
    body=st.sampled_from([b"", b"{}", b"[]", b"payload=%7B%7D", b"payload=%", b"\xff", b"null"]),
)
@example(host=HostKind.GITLAB, pairs=[("x-gitlab-token", "\udcff")], body=b"{}")
@example(host=HostKind.AZURE, pairs=[("authorization", "Basic \xff")], body=b"{}")
def test_any_headers_get_an_answer_from_every_door(
    host: HostKind, pairs: list[tuple[str, str]], body: bytes
) -> None:
    headers = Headers(pairs)

    detect_host(headers)
    verdict = verify(host, headers, body, SECRETS, now_unix=1_772_452_800)
    name = delivery_id(host, headers, "0" * 64, event_name(host, headers) or "")
    kept = headers.kept()

    assert isinstance(verdict.ok, bool)
    assert verdict.reason
    assert 0 < len(name) <= 200
    assert name.isascii()
    json.dumps(kept).encode()
    assert_understood_or_refused(host, headers, body)


def header_pairs(payload: OwnPayload) -> list[tuple[str, str]]:
    """Return a payload's headers but for its content type: changed bodies are sent as JSON."""
    return [(name, payload.headers[name]) for name in payload.headers if name != "content-type"]
