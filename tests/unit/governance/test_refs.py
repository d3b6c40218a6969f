"""Branch names as git has them, and full object ids."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.domain.refs import InvalidRef, branch_name, is_null_sha, is_ref_name, sha
from tests.factories.governance import HEAD_A


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("main", "main"),
        ("refs/heads/main", "main"),
        ("reach/task/1", "reach/task/1"),
        ("ünïcode", "ünïcode"),
        ("a-b.c_d+e", "a-b.c_d+e"),
        ("@", "@"),
        ("x" * 1000, "x" * 1000),
    ],
)
def test_a_branch_is_named_as_git_has_it(text: str, name: str) -> None:
    assert branch_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "refs/heads/", "-x", "a b", "a..b", ".a", "a/.b", "a.lock", "a.lock/b", "a/", "/a"),
        *("a//b", "a.", "a@{b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a\x00"),
        *("a\n", "\ud800", "x" * 1001),
    ],
)
def test_what_git_would_refuse_is_no_branch(text: str) -> None:
    with pytest.raises(InvalidRef):
        branch_name(text)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="a./-@{}~^:?*[\\ lock\u00e9", min_size=1, max_size=8))
def test_we_take_a_branch_name_exactly_when_git_does(text: str) -> None:
    says_git = subprocess.run(
        ["git", "check-ref-format", "--branch", text], capture_output=True, check=False
    )
    # `--branch` also understands `@{-1}`; that names no branch of its own.
    git_takes_it = says_git.returncode == 0 and says_git.stdout.decode().rstrip("\n") == text

    try:
        ours = branch_name(text) == text
    except InvalidRef:
        ours = False

    assert ours is git_takes_it


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="a./-@{}~^:?*[\\ lock\u00e9\x01\x7f", min_size=0, max_size=8))
def test_a_ref_is_taken_exactly_when_git_takes_it(text: str) -> None:
    for kind in ("heads", "tags"):
        says_git = subprocess.run(
            ["git", "check-ref-format", f"refs/{kind}/{text}"], capture_output=True, check=False
        )

        assert is_ref_name(text) is (says_git.returncode == 0)


@pytest.mark.parametrize(
    ("text", "expected"), [(HEAD_A, HEAD_A), ("A" * 40, HEAD_A), ("f" * 64, "f" * 64)]
)
def test_a_full_object_id_is_kept_in_lower_case(text: str, expected: str) -> None:
    assert sha(text) == expected


@pytest.mark.parametrize("digits", [0, 7, 39, 41, 63, 65])
def test_an_object_id_of_another_length_is_refused(digits: int) -> None:
    with pytest.raises(InvalidRef):
        sha("a" * digits)


@pytest.mark.parametrize("text", ["g" * 40, "a" * 39 + "\n", "a" * 39 + "٣"])
def test_what_is_not_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidRef):
        sha(text)


@pytest.mark.parametrize(
    ("text", "null"), [("", True), ("0" * 40, True), ("0" * 64, True), ("0" * 39, False)]
)
def test_nothing_is_written_as_zeros_of_either_length(text: str, null: bool) -> None:
    assert is_null_sha(text) is null
