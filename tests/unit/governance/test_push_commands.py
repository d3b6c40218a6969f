"""The safe push: exact, and safe to paste whatever the branch is called."""

import shlex
import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from governance.domain.push_commands import safe_push_command
from governance.domain.refs import InvalidRef, branch_name
from tests.factories.governance import HEAD_A


@pytest.mark.parametrize(
    ("remote_sha", "command"),
    [
        (
            HEAD_A,
            f"git push --force-with-lease=refs/heads/topic:{HEAD_A} origin HEAD:refs/heads/topic",
        ),
        ("", "git push --force-with-lease=refs/heads/topic: origin HEAD:refs/heads/topic"),
        (None, "git push origin HEAD:refs/heads/topic"),
    ],
)
def test_the_command_names_the_head_that_it_may_replace(
    remote_sha: str | None, command: str
) -> None:
    assert safe_push_command("topic", remote_sha=remote_sha) == command


@pytest.mark.parametrize(
    "branch",
    [
        *("it's", "a;touch${IFS}x", "$(id)", "`id`", "a&b|c>d", "!x", "naïve/ünï", 'q"q', "#1"),
        *("right\u202eleft", "\ue000", "a%d\u202e'"),
    ],
)
def test_a_shell_hands_git_the_very_branch_name(branch: str) -> None:
    command = safe_push_command(branch_name(branch), remote_sha=HEAD_A)

    seen = subprocess.run(
        ["sh", "-c", f"git() {{ printf '%s\\0' \"$@\"; }}; {command}"],
        capture_output=True,
        check=True,
        env={},
    ).stdout.decode()

    assert seen.split("\0")[:-1] == [
        "push",
        f"--force-with-lease=refs/heads/{branch}:{HEAD_A}",
        "origin",
        f"HEAD:refs/heads/{branch}",
    ]


@given(st.text(min_size=1, max_size=30))
def test_the_words_of_the_command_survive_quoting(text: str) -> None:
    try:
        branch = branch_name(text)
    except InvalidRef:
        return
    assume(text.isprintable())

    words = shlex.split(safe_push_command(branch, remote_sha=HEAD_A))

    assert words[2:] == [
        f"--force-with-lease=refs/heads/{branch}:{HEAD_A}",
        "origin",
        f"HEAD:refs/heads/{branch}",
    ]
