"""Works in the supervisor's place of a cluster that does not: drains and ticks, in a thread."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection

from reconciliation.models import Heartbeat

logger = logging.getLogger("reconciler.supervisor")

TICK_IS_LATE = timedelta(seconds=75)
"""django-q2 ticks every 60 s and looks at its clock every 30 s; later than this it is not well."""

Stop = Callable[[], bool]


class StandIn:
    """Drains while it is needed, and ticks whenever nobody else did."""

    def __init__(
        self,
        *,
        drain: Callable[[Stop], object],
        tick: Callable[[], object],
        clock: Callable[[], datetime],
        pause: timedelta = timedelta(seconds=1),
    ) -> None:
        self._drain = drain
        self._tick = tick
        self._clock = clock
        self._pause = pause.total_seconds()
        self._needed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)

    def start(self) -> None:
        """Begin, with a tick if one is due."""
        self._thread.start()

    def take_over(self) -> None:
        """Drain from now on."""
        self._needed.set()

    def hand_back(self) -> None:
        """Drain no more once the batch at hand is done."""
        self._needed.clear()

    def tell_to_stop(self) -> None:
        """Stop after the batch at hand."""
        self._stop.set()

    def has_stopped(self, *, within_seconds: float) -> bool:
        """Wait for the batch at hand and return whether it was done in time."""
        self._thread.join(within_seconds)
        return not self._thread.is_alive()

    def _is_idle(self) -> bool:
        return self._stop.is_set() or not self._needed.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if is_tick_late(now=self._clock()):
                    self._tick()
                if self._needed.is_set():
                    self._drain(self._is_idle)
            except Exception:  # the edge of a thread: whatever it is, the next round goes on
                logger.exception("stand_in.failed")
                connection.close()
            self._stop.wait(self._pause)
        connection.close()


def is_tick_late(*, now: datetime) -> bool:
    """Return whether the tick that should have been did not come."""
    beat = Heartbeat.objects.filter(name="tick").values_list("at", flat=True).first()
    return beat is None or now - beat > TICK_IS_LATE
