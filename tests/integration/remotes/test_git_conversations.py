"""Talking to a git process while other threads start processes of their own."""

from __future__ import annotations

import os
import subprocess

from reconciliation.remotes.git import Git, _Conversation

# Ends its stdin early, as git does when it has read what it wants, and speaks a little later.
SPEAKS_LATER = "exec 0<&-; sleep 0.3; echo spoken; exit 0"


def test_a_process_started_meanwhile_that_holds_our_pipe_is_not_taken_for_a_time_out() -> None:
    process = subprocess.Popen(
        ["sh", "-c", SPEAKS_LATER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    # What a fork in another thread does for an instant: a second descriptor of the same pipe, so
    # that closing ours does not take it out of the selector.
    held = os.dup(process.stdin.fileno())
    conversation = _Conversation(process, b"", Git(), what="test", seconds=10)
    try:
        conversation.run()
    finally:
        os.close(held)
        process.wait()
        conversation.close()

    assert b"".join(conversation.stdout) == b"spoken\n"
