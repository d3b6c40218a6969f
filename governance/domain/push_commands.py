"""Writes the push that cannot overwrite what its author has not seen; pure."""

import shlex

REMOTE = "origin"


def safe_push_command(branch: str, *, remote_sha: str | None) -> str:
    """Return the exact command, quoted for POSIX shells, that pushes HEAD to a branch.

    `remote_sha` is the head that the push may replace; the empty string says that the branch must
    not exist yet. A bare `--force-with-lease` would trust whatever the last fetch brought, so the
    id is always spelled out. When nobody knows the head (None), a push without force is the one
    that git itself keeps safe: it only ever adds commits.
    """
    ref = f"refs/heads/{branch}"
    if remote_sha is None:
        return shlex.join(("git", "push", REMOTE, f"HEAD:{ref}"))
    return shlex.join(
        ("git", "push", f"--force-with-lease={ref}:{remote_sha}", REMOTE, f"HEAD:{ref}")
    )
