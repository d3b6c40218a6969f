"""Bodies that two readers might read differently, or that lie about a type, are refused by name."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from reconciliation.webhooks.dialects import parse
from reconciliation.webhooks.form_body import MAX_FIELDS, payload_of_form
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.strict_json import read_json_object

A, B, ZEROS = "a" * 40, "b" * 40, "0" * 40
PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": A,
    "after": B,
    "forced": False,
    "repository": {"id": 1, "full_name": "northwind/ledger"},
    "sender": {"login": "mira"},
}
AS_JSON = Headers([("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "d-1")])
AS_FORM = Headers(
    [("X-GitHub-Event", "push"), ("Content-Type", "application/x-www-form-urlencoded")]
)


def refusal_of(body: bytes, headers: Headers = AS_JSON) -> tuple[str, str]:
    with pytest.raises(MalformedBody) as refusal:
        parse(HostKind.GITHUB, headers, body)
    return refusal.value.code, refusal.value.where


def push_with(**changes: Any) -> bytes:
    return json.dumps(PUSH | changes).encode()


def test_the_push_these_tests_start_from_is_understood() -> None:
    (event,) = parse(HostKind.GITHUB, AS_JSON, push_with()).events

    assert (event.branch, event.before, event.after) == ("main", A, B)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" ", "not_json"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b'{"ref": "\xff"}', "not_utf8"),
        ('{"ref": "x"}'.encode("utf-16"), "not_utf8"),
        (b'{"ref": ', "not_json"),
        (b'{"a": 1} {"a": 2}', "not_json"),
        (b'{"a": "\x00"}', "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"deep": {"a": 1, "b": 2, "a": 3}}', "duplicate_key"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
        (b'{"a": nan}', "not_json"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 99_999 + b"}", "not_json"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_001 + b"}", "not_json"),
        (b'{"a": ' + b"[" * 100_000, "not_json"),
        (b'{"a": "' + b"[" * 100_000, "not_json"),
    ],
)
def test_a_body_that_is_not_one_plain_json_object_is_refused(body: bytes, code: str) -> None:
    assert refusal_of(body) == (code, "")


UNREAD = {
    "20 digits": b"1" + b"0" * 19,
    "5000 digits": b"-" + b"9" * 5000,
    "a float beyond all bounds": b"1e400",
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "brackets in text of depths": b"[" * 5000 + b'"]]]}\\"]"' + b"]" * 5000,
}


@pytest.mark.parametrize("value", UNREAD.values(), ids=UNREAD.keys())
def test_what_nobody_reads_refuses_nothing(value: bytes) -> None:
    body = push_with()[:-1] + b', "x": {"y": [' + value + b'], "z": 1}}'

    assert parse(HostKind.GITHUB, AS_JSON, body) == parse(HostKind.GITHUB, AS_JSON, push_with())


@pytest.mark.parametrize("value", [UNREAD[name] for name in list(UNREAD)[:5]])
@pytest.mark.parametrize("reader", ["identifier", "number", "flag", "name", "child", "children"])
def test_a_number_out_of_all_bounds_is_refused_where_it_is_read(value: bytes, reader: str) -> None:
    document = read_json_object(b'{"id": ' + value + b"}")

    with pytest.raises(MalformedBody) as refusal:
        getattr(document, reader)("id")

    assert refusal.value.code in {"wrong_type", "not_an_object"}
    assert document.moment("id") is None


def test_what_lies_beside_the_depths_is_read_as_ever() -> None:
    deep = b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b', "b": {"c": "[[["}}'

    assert read_json_object(deep).child("b").name("c") == "[[["


def test_the_largest_numbers_that_hosts_use_are_read() -> None:
    assert read_json_object(b'{"id": 9223372036854775807}').identifier("id") == str(2**63 - 1)


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        ({"ref": None}, "missing", "/ref"),
        ({"ref": 7}, "wrong_type", "/ref"),
        ({"ref": ["refs/heads/main"]}, "wrong_type", "/ref"),
        ({"ref": ""}, "bad_name", "/ref"),
        ({"ref": "main"}, "bad_ref", "/ref"),
        ({"ref": "refs/heads/"}, "bad_ref", "/ref"),
        ({"ref": "refs/tags/"}, "bad_ref", "/ref"),
        ({"ref": "refs/heads/../../x"}, "bad_name", "/ref"),
        ({"ref": "refs/tags/a..b"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/a.lock"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/a b"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/a\\b"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/a\x00b"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/a\nb"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/\ud800"}, "bad_name", "/ref"),
        ({"ref": "refs/heads/" + "x" * 990}, "bad_name", "/ref"),
        ({"ref": "refs/heads/" + "é" * 495}, "bad_name", "/ref"),
        ({"before": "a" * 39}, "bad_object_id", "/before"),
        ({"before": "a" * 12}, "bad_object_id", "/before"),
        ({"before": "g" * 40}, "bad_object_id", "/before"),
        ({"before": "a" * 41}, "bad_object_id", "/before"),
        ({"after": "\u0660" * 40}, "bad_object_id", "/after"),
        ({"after": A + "\n"}, "bad_name", "/after"),
        ({"after": None}, "missing", "/after"),
        ({"forced": "false"}, "wrong_type", "/forced"),
        ({"forced": 0}, "wrong_type", "/forced"),
        ({"repository": None}, "missing", "/repository"),
        ({"repository": []}, "not_an_object", "/repository"),
        ({"repository": {"id": True, "full_name": "a/b"}}, "wrong_type", "/repository/id"),
        ({"repository": {"id": -1, "full_name": "a/b"}}, "wrong_type", "/repository/id"),
        ({"repository": {"id": 1.0, "full_name": "a/b"}}, "wrong_type", "/repository/id"),
        ({"repository": {"id": 1, "full_name": "a\x00b"}}, "bad_name", "/repository/full_name"),
        ({"repository": {"id": 1}}, "missing", "/repository/full_name"),
        ({"sender": "mira"}, "not_an_object", "/sender"),
        ({"sender": {"login": {}}}, "wrong_type", "/sender/login"),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_named(
    changes: dict[str, Any], code: str, where: str
) -> None:
    assert refusal_of(push_with(**changes)) == (code, where)


@pytest.mark.parametrize("junk", [True, "7", 7.0, -1, 2**31, [7]])
def test_a_number_that_is_no_whole_number_is_refused(junk: Any) -> None:
    with pytest.raises(MalformedBody) as refusal:
        read_json_object(json.dumps({"number": junk}).encode()).number("number")

    assert (refusal.value.code, refusal.value.where) == ("wrong_type", "/number")


def test_the_largest_number_of_a_pull_request_is_read() -> None:
    assert read_json_object(b'{"number": 2147483647}').number("number") == 2**31 - 1


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    body = {"push": {"changes": [{"old": None, "new": None}]}, "repository": {}}
    headers = Headers([("X-Event-Key", "repo:push")])

    with pytest.raises(MalformedBody) as refusal:
        parse(HostKind.BITBUCKET, headers, json.dumps(body).encode())

    assert refusal.value.where == "/push/changes/0"


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    with pytest.raises(MalformedBody) as refusal:
        parse(HostKind.GITHUB, AS_JSON, push_with(before="s3cret-token"))

    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in repr(refusal.value)


def test_text_that_is_not_read_may_hold_anything_json_can() -> None:
    body = push_with(head_commit={"message": "lone \ud800 surrogate"})

    assert parse(HostKind.GITHUB, AS_JSON, body).outcome == "accepted"


@pytest.mark.parametrize("name", ["x" * 989, "é" * 494 + "x"])
def test_a_ref_of_1000_bytes_is_the_longest_taken_over(name: str) -> None:
    (event,) = parse(HostKind.GITHUB, AS_JSON, push_with(ref="refs/heads/" + name)).events

    assert event.branch == name


def test_what_is_longer_than_can_be_stored_is_cut_and_stays_distinct() -> None:
    def said(letter: str) -> tuple[str | None, ...]:
        repository = {"id": "i" * 500 + letter, "full_name": "n" * 500 + letter}
        body = push_with(repository=repository, sender={"login": "p" * 500 + letter})
        (event,) = parse(HostKind.GITHUB, AS_JSON, body).events
        return event.repository.host_id, event.repository.full_name, event.actor

    first, second = said("a"), said("b")

    assert [len(text or "") for text in first] == [100, 300, 200]
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert first == said("a")


def test_object_ids_come_out_in_lower_case() -> None:
    (event,) = parse(HostKind.GITHUB, AS_JSON, push_with(after="B" * 40)).events

    assert event.after == "b" * 40


def test_both_sides_null_is_a_ref_that_is_not_there() -> None:
    (event,) = parse(HostKind.GITHUB, AS_JSON, push_with(before=ZEROS, after=ZEROS)).events

    assert (event.before, event.after, event.created, event.deleted) == (None, None, False, True)


def test_a_form_holds_the_same_push() -> None:
    body = b"payload=" + quote_plus(push_with()).encode()

    assert (
        parse(HostKind.GITHUB, AS_FORM, body).events
        == parse(HostKind.GITHUB, AS_JSON, push_with()).events
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"other=1",
        b"payload=%7B%7D&payload=%7B%7D",
        b"payload=%7B%7D&%70ayload=%7B%7D",
        b"payload=%7",
        b"payload=%zz",
        b"payload=%",
        b"%ZZ=1&payload=%7B%7D",
        b"payload=%7B%7D" + b"&a=1" * MAX_FIELDS,
        b"&" * 1_000_000,
    ],
)
def test_a_form_without_exactly_one_sound_payload_is_refused(body: bytes) -> None:
    assert refusal_of(body, AS_FORM)[0] == "bad_form"


def test_a_form_of_as_many_fields_as_are_taken_apart_is_read() -> None:
    assert payload_of_form(b"payload=%7B%7D" + b"&a=1" * (MAX_FIELDS - 1)) == b"{}"


def test_other_fields_and_any_case_of_escapes_are_fine() -> None:
    body = b"x=1&payload=" + quote_plus(push_with(ref="refs/heads/Ö")).encode().lower()

    assert parse(HostKind.GITHUB, AS_FORM, body).events[0].branch == "Ö"


def test_hosts_that_send_no_forms_are_not_read_as_forms() -> None:
    headers = Headers([("X-Event-Key", "repo:push"), *AS_FORM.items()])

    with pytest.raises(MalformedBody) as refusal:
        parse(HostKind.BITBUCKET, headers, b"payload=%7B%7D")

    assert refusal.value.code == "not_json"


@pytest.mark.parametrize("host", [HostKind.GITHUB, HostKind.GITLAB, HostKind.GENERIC])
def test_a_request_that_names_no_event_is_refused(host: HostKind) -> None:
    with pytest.raises(MalformedBody) as refusal:
        parse(host, Headers([]), b"{}")

    assert refusal.value.code == "missing_event"


def test_an_ignored_event_is_ignored_whatever_its_body_holds() -> None:
    headers = Headers([("X-GitHub-Event", "issues")])

    assert parse(HostKind.GITHUB, headers, b"\xff not json").reason == "knowingly_ignored"


def test_the_name_signed_in_the_body_wins_over_the_header() -> None:
    body = {"object_kind": "note", "object_attributes": {}}
    headers = Headers([("X-Gitlab-Event", "Push Hook")])

    announcement = parse(HostKind.GITLAB, headers, json.dumps(body).encode())

    assert (announcement.event_name, announcement.outcome) == ("note", "ignored")
