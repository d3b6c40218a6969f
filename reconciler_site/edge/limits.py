"""How long a web process waits for a caller, and how much it holds for callers meanwhile."""

from dataclasses import dataclass

from django.conf import settings

from reconciliation.webhooks.blind_spots import MIB, body_cap_bytes
from reconciliation.webhooks.hosts import HostKind

WEBHOOKS = "/api/v1/webhooks/"
# A sender sees our answer only if its body was read; no git host sends more than this.
MOST_READ_BYTES = 32 * MIB
MOST_TARGET_BYTES = 16 * 1024
MOST_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds, sizes in bytes; each is a setting, see docs/operations.md."""

    threads: int
    body_seconds: float
    body_memory_bytes: int
    queue_seconds: float
    answer_seconds: float

    @classmethod
    def from_settings(cls) -> "Limits":
        """Return the limits of this installation."""
        return cls(
            threads=settings.WEB_THREADS,
            body_seconds=settings.BODY_SECONDS,
            body_memory_bytes=settings.BODY_MEMORY_BYTES,
            queue_seconds=settings.QUEUE_SECONDS,
            answer_seconds=settings.ANSWER_SECONDS,
        )


def most_kept_bytes(path: str) -> int:
    """Return the size above which a body at `path` is read away instead of being kept.

    Nothing that is answered there takes a larger body, so that its size alone decides.
    """
    if path.startswith(WEBHOOKS):
        return max(body_cap_bytes(host) for host in HostKind)
    size: int = settings.API_BODY_LIMIT_BYTES
    return size
