"""Keeps a working worker's claims alive, up to a bound; a worker that hangs still loses them."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType

from django.db import DatabaseError, connection

from reconciliation.services.claiming import extend_claims
from reconciliation.services.queue import ClaimedTask

logger = logging.getLogger("reconciler.execute")

BEAT = timedelta(seconds=5)
"""How often a batch at work is reported as progress, at most."""


class ClaimKeeper:
    """Extends the claims of the batch at hand while it is worked, from a thread of its own.

    Reading slow hosts may take longer than a claim lasts; without this a live worker's tasks
    would be taken from it, and counted as lost. `at_most` bounds the life of a batch: past it the
    claims run out, because a worker that takes so long is taken for hung.
    """

    def __init__(
        self,
        *,
        lasts: timedelta,
        at_most: timedelta,
        clock: Callable[[], datetime],
        progress: Callable[[], None],
    ) -> None:
        self._lasts = lasts
        self._at_most = at_most
        self._clock = clock
        self._progress = progress
        self._lock = threading.Lock()
        self._held: tuple[ClaimedTask, ...] = ()
        self._held_since: datetime | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="claim-keeper", daemon=True)

    def __enter__(self) -> "ClaimKeeper":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, tasks: Sequence[ClaimedTask]) -> None:
        """Keep these claims from now on; the ones before are let go."""
        with self._lock:
            self._held = tuple(tasks)
            self._held_since = self._clock() if tasks else None

    def _keep(self) -> None:
        pause = min(BEAT, self._lasts / 3).total_seconds()
        extended_at: datetime | None = None
        try:
            while not self._stop.wait(pause):
                with self._lock:
                    tasks, since = self._held, self._held_since
                now = self._clock()
                if since is None or now - since > self._at_most:
                    continue
                self._progress()
                if now - max(since, extended_at or since) >= self._lasts / 3:
                    self._extend(tasks, now=now)
                    extended_at = now
        finally:
            connection.close()

    def _extend(self, tasks: Sequence[ClaimedTask], *, now: datetime) -> None:
        try:
            extend_claims(tasks, until=now + self._lasts)
        except DatabaseError as error:
            # The next beat tries again on a new connection; epochs guard what was lost meanwhile.
            logger.warning("claims.not_extended tasks=%d error=%s", len(tasks), error)
            connection.close()
