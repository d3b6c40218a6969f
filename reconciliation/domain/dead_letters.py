"""What dead letters died of, in words that help: their host, and the probable fix; pure."""

import re

MAX_REQUEUES = 3
"""How often people may requeue a task that dies again each time."""

RECOVERED_BY_READING = "remote_"
"""Error codes with this prefix say that a repository could not be read; reading it mends them."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^@/?#]*@)?([^/:?#]*)")
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)")
_REQUEUED_BY_ITSELF = " The next successful reading of the repository requeues these by itself."
_FIXES = {
    "branch_unknown": (
        "The branch was never observed: read the repository's heads first, with `manage.py"
        " reconcile`, or discard if the branch is gone for good."
    ),
    "claim_lost": (
        "Its worker died or hung each time. Look into the worker's log for memory, time-outs or a"
        " crash at these times; mend that, then requeue one of them and watch."
    ),
    "database_lost": (
        "The database went away each time while this task was worked on. Look into the database's"
        " log at these times, and whether its memory or disk is full; then requeue."
    ),
    "disk_full": (
        "The disk of the workers that holds the mirrors is full. Make room on it, then requeue."
    ),
    "history_unknown": (
        "The mirror lacks history that the host has dropped. Accept the head if it is right, or"
        " connect the repository again."
    ),
    "lease_unknown": "The lease is gone; there is nothing left to renew. Discard.",
    "never_due": (
        "Each time it was looked at it had to wait: a head that never stops moving, or a run that"
        " never ends. Look at the branch; then requeue, or discard."
    ),
    "not_begun": (
        "Other tasks took all the time of its batches. Add workers, or raise"
        " RECONCILER_BATCH_SECONDS; then requeue."
    ),
    "out_of_time": (
        "Too large, or too slow, to be read and compared in the time that one batch has. Raise"
        " RECONCILER_BATCH_SECONDS, restart the workers, then requeue."
    ),
    "remote_auth_failed": (
        "The host refused the credential: it expired, was revoked, or lacks read access. Renew it"
        " for the repositories named." + _REQUEUED_BY_ITSELF
    ),
    "remote_malformed": (
        "What answered does not speak git: a proxy, a login page, or a wrong clone URL. Open the"
        " clone URL with git and correct it." + _REQUEUED_BY_ITSELF
    ),
    "remote_not_found": (
        "The host knows no such repository, or hides it from this credential. It may have been"
        " moved, renamed or deleted: correct the clone URL, or stop governing it."
        + _REQUEUED_BY_ITSELF
    ),
    "remote_refused": (
        "This installation does not allow the clone URL. Change the URL, or the settings that"
        " allow it." + _REQUEUED_BY_ITSELF
    ),
    "remote_throttled": (
        "The host kept asking to slow down. Sweep less often, or ask the host for a larger budget."
        + _REQUEUED_BY_ITSELF
    ),
    "remote_unavailable": (
        "The host did not answer, or failed, for the whole time of the retries. Look whether it is"
        " up and reachable from the workers." + _REQUEUED_BY_ITSELF
    ),
    "stopped": (
        "Its workers were stopped before they came to it, again and again. Let drains run longer,"
        " then requeue."
    ),
    "repository_inactive": ("The repository is no longer governed. Connect it again, or discard."),
}
_UNEXPECTED = (
    "A fault of this program. Read the log under the sample's correlation id, report it, upgrade,"
    " then requeue."
)
_UNMAPPED = "Read the sample's error; mend its cause, then requeue, or discard with a reason."


def probable_fix(error_code: str) -> str:
    """Return what would probably mend the cause of dead letters with this error code."""
    if error_code.startswith("unexpected_"):
        return _UNEXPECTED
    return _FIXES.get(error_code, _UNMAPPED)


def host_of(clone_url: str) -> str:
    """Return the host of a clone URL, or `local` for a folder; never a user name or a port."""
    found = _URL.match(clone_url) or _SCP_LIKE.match(clone_url)
    return (found.group(1) if found else "").lower() or "local"
