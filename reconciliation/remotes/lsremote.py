"""Read heads with `git ls-remote`: for ssh, for paths, and for servers that only hand out files."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from reconciliation.remotes.access import Access
from reconciliation.remotes.advertisements import parse_ls_remote
from reconciliation.remotes.base import RemoteHeads
from reconciliation.remotes.failures import failure_in_words_of_git
from reconciliation.remotes.git import Call, Git, run_git

# What git writes of a server's capabilities when it traces packets: v2's line, or v0's first one.
_FETCH_CAPABILITY = re.compile(r"< (?:fetch=|[0-9a-f]{40,64} [^\\]*\\0)(.*)")


def read_heads_with_git(git: Git, access: Access) -> RemoteHeads:
    """Return the heads git lists; raise what its complaint means if it fails."""
    return parse_ls_remote(_ls_remote(git, access, environment={}))


def can_filter(git: Git, access: Access) -> bool:
    """Say whether a server we only reach through git can leave out trees and files.

    git tells nobody but its packet trace. When in doubt the answer is no: otherwise a fetch
    would bring every file of the repository.
    """
    with tempfile.TemporaryDirectory(prefix="packets-") as folder:
        trace = Path(folder) / "trace"
        _ls_remote(git, access, environment={"GIT_TRACE_PACKET": str(trace)})
        text = trace.read_text("utf-8", "replace") if trace.exists() else ""
    return any("filter" in words.split() for words in _FETCH_CAPABILITY.findall(text))


def _ls_remote(git: Git, access: Access, *, environment: dict[str, str]) -> bytes:
    call = Call(
        config=access.config,
        environment={**access.environment, **environment},
        transports=(access.transport,),
    )
    result = run_git(
        git,
        "ls-remote",
        "--quiet",
        "--symref",
        *access.arguments,
        "--end-of-options",
        access.url,
        call=call,
    )
    if result.status != 0:
        raise failure_in_words_of_git(result.stderr, secrets=access.secrets)
    return result.stdout
