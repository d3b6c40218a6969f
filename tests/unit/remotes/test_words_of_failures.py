"""What git and ssh print when they fail, and which of our errors that is."""

from __future__ import annotations

import pytest

from reconciliation.remotes.base import (
    DiskFull,
    RemoteAuthFailed,
    RemoteError,
    RemoteNotFound,
    RemoteRefused,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.remotes.failures import failure_in_words_of_git, hints_at_damage, scrub

SSH_END = (
    "\nfatal: Could not read from remote repository.\n\n"
    "Please make sure you have the correct access rights\nand the repository exists.\n"
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("git@h: Permission denied (publickey)." + SSH_END, RemoteAuthFailed),
        ("Host key verification failed." + SSH_END, RemoteAuthFailed),
        ("ERROR: Repository not found." + SSH_END, RemoteNotFound),
        ("fatal: '/srv/x' does not appear to be a git repository" + SSH_END, RemoteNotFound),
        ("ssh: Could not resolve hostname h: Name or service not known" + SSH_END, None),
        ("ssh: connect to host h port 22: Connection refused" + SSH_END, None),
        ("ssh: connect to host h port 22: Connection timed out" + SSH_END, None),
        (SSH_END, None),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", None),
        ("fatal: unable to access 'https://h/': SSL certificate problem: expired", None),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", None),
        ("fatal: unable to access 'u': The requested URL returned error: 403", RemoteAuthFailed),
        ("fatal: unable to access 'u': The requested URL returned error: 429", RemoteThrottled),
        ("fatal: could not read Username for 'https://h': terminal prompts", RemoteAuthFailed),
        ("fatal: Authentication failed for 'https://h/'", RemoteAuthFailed),
        ("fatal: repository 'https://h/x/' not found", RemoteNotFound),
        ("fatal: transport 'ext' not allowed", RemoteRefused),
        ("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", None),
        (
            "error: unable to read askpass response\nfatal: could not read Username",
            RemoteAuthFailed,
        ),
        ("fatal: write error: No space left on device\nfatal: fetch-pack: invalid", DiskFull),
        ("error: unable to write file x: Disk quota exceeded", DiskFull),
        ("remote: fatal: write error: No space left on device\nfatal: early EOF", None),
        ("something nobody has seen before", None),
        ("", None),
    ],
)
def test_each_complaint_has_its_error(words: str, expected: type[RemoteError] | None) -> None:
    assert type(failure_in_words_of_git(words)) is (expected or RemoteUnavailable)


@pytest.mark.parametrize(
    "words",
    [
        "fatal: bad object refs/kept/aaa",
        "error: refs/kept/aaa does not point to a valid object!",
        "error: inflate: data stream error (incorrect header check)",
        f"fatal: unable to read {'a' * 40}",
    ],
)
def test_a_fetch_that_trips_over_an_object_may_mean_damage_here(words: str) -> None:
    assert hints_at_damage(words)
    assert not hints_at_damage("error: unable to read askpass response from '/bin/false'")


def test_the_message_is_the_line_that_tells() -> None:
    words = "hint: a hint\nfatal: repository 'https://h/x/' not found\nwarning: more"

    failure = failure_in_words_of_git(words)

    assert failure.message.endswith("fatal: repository 'https://h/x/' not found")


def test_secrets_and_control_characters_do_not_survive() -> None:
    words = "fatal: https://u:pw@h/x hunter2\x1b[31m\nAuthorization: Basic aHVudGVyMg=="

    clean = scrub(words, secrets=["hunter2"])

    assert clean == "fatal: https://***@h/x ***?[31m\nAuthorization: ***"


def test_a_message_stays_short() -> None:
    assert len(failure_in_words_of_git("fatal: " + "x" * 5000).message) < 500
