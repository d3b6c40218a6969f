"""When a failed attempt is tried again, and when it is not; pure.

Source: specification, "Task retries use bounded exponential backoff and dead-letter capture".
"""

import hashlib
from datetime import timedelta
from enum import StrEnum

BASE = timedelta(seconds=5)
CAP = timedelta(minutes=15)
MAX_ATTEMPTS = 7
MAX_RETURNS = 200
"""How often a task may go back to the queue without losing an attempt: enough for a day's wait for
a host that asks for patience, and an end for what would never come to a decision."""
POISON_AFTER_LOST_CLAIMS = 2


class ErrorClass(StrEnum):
    """What kind of trouble an attempt met.

    transient: try again later. throttled: the host named a time; no attempt is burnt. terminal: no
    retry can mend it, a person must act. poison: it took its worker down more than once.
    """

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    TERMINAL = "terminal"
    POISON = "poison"


def backoff(key: str, attempt: int) -> timedelta:
    """Return the wait after failed attempt number `attempt` (1 = first): 5 s, doubled up to 15 min.

    Half of it is fixed and half drawn from the key and the attempt, so that tasks which failed
    together do not come back together, and a replay sees the same waits.
    """
    ceiling = min(CAP, BASE * (1 << min(max(attempt, 1) - 1, 20)))
    draw = int.from_bytes(hashlib.sha256(f"{key}:{attempt}".encode()).digest()[:4], "big")
    return ceiling / 2 + ceiling / 2 * draw / 0xFFFFFFFF


def is_exhausted(*, attempts: int, max_attempts: int) -> bool:
    """Return whether no attempt is left."""
    return attempts >= max_attempts


def is_refundable(returns: int) -> bool:
    """Return whether a task that went back uncounted so often may do so once more."""
    return returns < MAX_RETURNS
