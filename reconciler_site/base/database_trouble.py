"""Tells why a database refused, where trying again or making room helps; asks nobody.

Everything else that a database raises is a fault of the code, and is answered as one.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

_READ_ONLY = "25006"
_CANCELLED = "57014"
_DISK_FULL = "53100"


@dataclass(frozen=True, slots=True)
class DatabaseTrouble:
    """What to answer: a stable code, a sentence, and when to come back."""

    code: str
    detail: str
    retry_after_seconds: int


AWAY = DatabaseTrouble("unavailable", "The database does not answer just now; try again.", 5)
BUSY = DatabaseTrouble(
    "unavailable", "The database is held by another writer; nothing was stored, try again.", 5
)
SLOW = DatabaseTrouble(
    "unavailable",
    "The database took too long to answer this and was told to stop; nothing was changed.",
    30,
)
FULL = DatabaseTrouble(
    "disk_full", "The disk is full: nothing was stored. Make room on it, then try again.", 60
)


def trouble_of(error: BaseException | None) -> DatabaseTrouble | None:
    """Return what is wrong with the database, or None when the error is not about that."""
    for cause in _chain(error):
        if _is_disk_full(cause):
            return FULL
    if error is None:
        return None
    cause = error.__cause__ or error
    state = getattr(cause, "sqlstate", None)
    if state == _READ_ONLY:  # a standby that was not promoted yet
        return AWAY
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    if state == _CANCELLED:
        return SLOW
    return BUSY if "database is locked" in str(error) else AWAY


def _is_disk_full(error: BaseException) -> bool:
    return (
        getattr(error, "sqlstate", None) == _DISK_FULL
        or getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of; a disk that is full is often reported second-hand."""
    while error is not None:
        yield error
        error = error.__cause__
