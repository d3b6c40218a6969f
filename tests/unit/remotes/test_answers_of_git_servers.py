"""The parsers of git's answers: right answers, wrong answers, and any bytes at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.remotes.advertisements import (
    is_dumb_ref_list,
    ls_refs_request,
    parse_advertisement,
    parse_ls_refs,
    parse_ls_remote,
)
from reconciliation.remotes.base import (
    RemoteError,
    RemoteHeads,
    RemoteMalformed,
    RemoteNotFound,
)
from reconciliation.remotes.pktlines import MAX_PAYLOAD, Mark, frame, unframe

A, B = "a" * 40, "b" * 40
FLUSH = b"0000"
ANNOUNCED = frame(b"# service=git-upload-pack\n") + FLUSH
V2 = ANNOUNCED + b"".join(
    frame(line)
    for line in (
        b"version 2\n",
        b"agent=git/2.39\n",
        b"ls-refs=unborn\n",
        b"fetch=shallow filter\n",
        b"object-format=sha1\n",
    )
)


def answer(*lines: str) -> bytes:
    return b"".join(frame(line.encode() + b"\n") for line in lines) + FLUSH


def heads(*pairs: tuple[str, str], default: str | None = None) -> RemoteHeads:
    return RemoteHeads.of(pairs, default_branch=default, object_format="sha1")


def test_version_2_tells_what_the_server_can_do() -> None:
    met = parse_advertisement(V2 + FLUSH)

    assert (met.version, met.heads, met.object_format, met.can_filter) == (2, None, "sha1", True)


def test_the_request_asks_for_branches_and_head_and_nothing_else() -> None:
    request = ls_refs_request(parse_advertisement(V2 + FLUSH), agent="git/x")

    assert list(unframe(request)) == [
        b"command=ls-refs\n",
        b"agent=git/x",
        b"object-format=sha1",
        Mark.DELIMITER,
        b"symrefs\n",
        b"unborn\n",
        b"ref-prefix HEAD\n",
        b"ref-prefix refs/heads/\n",
        Mark.FLUSH,
    ]


def test_ls_refs_keeps_branches_only() -> None:
    body = answer(
        f"{A} HEAD symref-target:refs/heads/main",
        f"{A} HEADLESS",
        f"{B} refs/heads/main",
        f"{A} refs/heads/a peeled:{B}",
        f"{A} refs/tags/v1",
        f"{A} refs/pull/1/head",
    )

    assert parse_ls_refs(body, object_format="sha1") == heads(("a", A), ("main", B), default="main")


def test_an_unborn_head_names_the_default_branch_of_an_empty_repository() -> None:
    body = answer("unborn HEAD symref-target:refs/heads/trunk")

    assert parse_ls_refs(body, object_format="sha1") == heads(default="trunk")


def test_a_detached_head_is_no_default_branch() -> None:
    body = answer(f"{A} HEAD", f"{A} refs/heads/main")

    assert parse_ls_refs(body, object_format="sha1").default_branch is None


def test_version_0_brings_its_refs_along() -> None:
    body = ANNOUNCED + answer(
        f"{A} HEAD\0multi_ack symref=HEAD:refs/heads/main filter agent=git/1",
        f"{A} refs/heads/main",
        f"{B} refs/pull/1/head",
        f"{B} refs/tags/v1^{{}}",
        f"shallow {B}",
    )

    met = parse_advertisement(body)

    assert (met.version, met.can_filter) == (0, True)
    assert met.heads == heads(("main", A), default="main")


def test_version_1_is_version_0_with_a_line_before_it() -> None:
    body = ANNOUNCED + answer("version 1", f"{A} refs/heads/main\0filter")

    assert parse_advertisement(body).heads == heads(("main", A))


@pytest.mark.parametrize("lines", [[], [f"{'0' * 40} capabilities^{{}}\0filter"]])
def test_version_0_of_an_empty_repository(lines: list[str]) -> None:
    assert parse_advertisement(ANNOUNCED + answer(*lines)).heads == heads()


def test_sha256_repositories_have_longer_ids() -> None:
    body = ANNOUNCED + answer(f"{'a' * 64} refs/heads/main\0object-format=sha256")

    met = parse_advertisement(body)

    assert met.heads is not None
    assert (met.heads.object_format, met.heads.heads) == ("sha256", {"main": "a" * 64})
    with pytest.raises(RemoteMalformed):
        parse_ls_refs(answer(f"{A} refs/heads/main"), object_format="sha256")


def test_a_name_that_is_not_utf8_keeps_its_bytes_and_its_own_spelling() -> None:
    line = A.encode() + b" refs/heads/caf\xe9"
    utf8 = A.encode() + b" refs/heads/caf\xc3\xa9"

    read = parse_ls_refs(frame(line) + frame(utf8) + FLUSH, object_format="sha1")

    assert list(read.heads) == ["caf\\xe9", "café"]
    assert read.digest  # it can be digested, and so stored


def test_ls_remote_output_is_understood() -> None:
    output = f"ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{B}\trefs/heads/refs/heads/odd\n"

    assert parse_ls_remote(output.encode()) == heads(("refs/heads/odd", B), default="main")


def test_the_digest_does_not_depend_on_the_order_of_the_answer() -> None:
    assert heads(("a", A), ("b", B)) == heads(("b", B), ("a", A))
    assert heads(("a", A), ("b", B)).digest != heads(("a", B), ("b", A)).digest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"0000",
        b"<html>Sign in</html>",
        frame(b"version 2\n"),
        V2,
        V2[:-3] + FLUSH,
        V2 + FLUSH + b"0000",
        V2 + FLUSH + b"x",
        ANNOUNCED,
        ANNOUNCED + answer("version 2", "agent=x"),
        ANNOUNCED + answer("version 2", "ls-refs", "object-format=md5"),
        ANNOUNCED + answer(f"{A} refs/heads/main"),
        frame(b"# service=git-receive-pack\n") + FLUSH + answer(f"{A} refs/heads/main\0x"),
        answer(f"{A} refs/heads/main\0x"),
    ],
)
def test_a_wrong_advertisement_is_an_error(body: bytes) -> None:
    with pytest.raises(RemoteMalformed):
        parse_advertisement(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"0001",
        b"0002",
        b"0003",
        b"0004" + FLUSH,
        b"+0f1" + FLUSH,
        b"0x1f" + FLUSH,
        b"ffff" + FLUSH,
        b"00ff too short" + FLUSH,
        frame(f"{A} refs/heads/main".encode()),
        answer(f"{A} refs/heads/main")[:-1],
        answer(f"{A} refs/heads/main") + b"0000",
        answer(f"{A} refs/heads/main", f"{B} refs/heads/main"),
        answer(f"{A[:-1]} refs/heads/main"),
        answer(f"{A}a refs/heads/main"),
        answer(f"{A.upper()} refs/heads/main"),
        answer(f"{'0' * 40} refs/heads/main"),
        answer(f"{A} refs/heads/"),
        answer(f"{A} refs/heads/a\x07"),
        answer(f"{A} refs/heads/a\0b"),
        answer(f"{A} refs/heads/a\\b"),
        answer("main"),
    ],
)
def test_a_wrong_list_of_refs_is_an_error(body: bytes) -> None:
    with pytest.raises(RemoteMalformed):
        parse_ls_refs(body, object_format="sha1")


def test_a_list_cut_short_anywhere_is_an_error_never_a_shorter_list() -> None:
    body = answer(*(f"{A} refs/heads/b{n}" for n in range(5)))

    for length in range(len(body)):
        with pytest.raises(RemoteMalformed):
            parse_ls_refs(body[:length], object_format="sha1")


def test_an_error_packet_speaks_for_itself() -> None:
    with pytest.raises(RemoteNotFound, match="Repository not found"):
        parse_advertisement(ANNOUNCED + frame(b"ERR Repository not found.") + FLUSH)


def test_only_a_plain_ref_file_is_taken_for_a_dumb_server() -> None:
    assert is_dumb_ref_list(f"{A}\trefs/heads/main\n{B}\trefs/tags/v1^{{}}\n".encode())
    assert not is_dumb_ref_list(b"")
    assert not is_dumb_ref_list(b"<html></html>")


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused_by_name(data: bytes) -> None:
    for parse in (
        parse_advertisement,
        lambda body: parse_advertisement(ANNOUNCED + body),
        lambda body: parse_ls_refs(body, object_format="sha1"),
        parse_ls_remote,
    ):
        with contextlib.suppress(RemoteError):
            parse(data)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
def test_any_lines_are_parsed_or_refused_by_name(lines: list[bytes]) -> None:
    body = b"".join(map(frame, lines)) + FLUSH
    for parse in (
        lambda framed: parse_advertisement(ANNOUNCED + framed),
        lambda framed: parse_ls_refs(framed, object_format="sha1"),
    ):
        with contextlib.suppress(RemoteError):
            parse(body)


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=20))
def test_framing_and_unframing_are_opposites(payloads: list[bytes]) -> None:
    assert list(unframe(b"".join(map(frame, payloads)))) == payloads


@pytest.mark.parametrize("payload", [b"", b"x" * (MAX_PAYLOAD + 1)])
def test_a_packet_has_a_smallest_and_a_largest_size(payload: bytes) -> None:
    with pytest.raises(ValueError, match="a packet carries"):
        frame(payload)
