"""Works off what is due in this process, without django-q2.

    manage.py drain                       until nothing is due
    manage.py drain --tick                tick first: plan the sweep that is due; for cron
    manage.py drain --loop                go on, and tick every minute, until SIGTERM or SIGINT
    manage.py drain --limit-seconds 50    claim nothing more after so many seconds
    manage.py drain --json                print what was done as one JSON document at the end

A stop lets the batch at hand finish and gives the rest back. Any number of these may run at once,
beside any number of `reconcile_worker`s.
"""

import argparse
import json
import logging
import signal
import time
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.selectors.unfinished import QueueLeft, queue_left
from reconciliation.services.execute import Drained
from reconciliation.services.installation import (
    configured_limits,
    drain_here,
    tick_here,
    worker_name,
)

logger = logging.getLogger("reconciler.drain")

_LOOK_EVERY_SECONDS = 0.5
_TICK_EVERY_SECONDS = 60.0
_DATABASE_PAUSE_SECONDS = 2.0


class Command(BaseCommand):
    """Drain the queue."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--loop", action="store_true", help="go on until told to stop")
        parser.add_argument("--tick", action="store_true", help="tick first")
        parser.add_argument("--limit-seconds", type=int, metavar="N", help="claim no more after N")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Drain once or in a loop, and print what was done."""
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._deadline: float | None = None
        if options["limit_seconds"] is not None:
            self._deadline = time.monotonic() + options["limit_seconds"]
        started = time.monotonic()
        total = Drained(worker_name())
        if options["loop"]:
            self._loop(total)
        else:
            self._once(total, with_tick=options["tick"])
        self._print(total, seconds=time.monotonic() - started, as_json=options["json"])

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _is_over(self) -> bool:
        is_late = self._deadline is not None and time.monotonic() > self._deadline
        return self._stopping or is_late

    def _once(self, total: Drained, *, with_tick: bool) -> None:
        try:
            if with_tick:
                _tick()
            self._drain_into(total)
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(
                f"The database cannot be used: {error}. Is it running, and migrated?"
            ) from error

    def _loop(self, total: Drained) -> None:
        next_tick = 0.0
        while not self._is_over():
            try:
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK_EVERY_SECONDS
                    _tick()
                self._drain_into(total)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("drain.database_trouble error=%s", error)
                connection.close()
                self._wait(_DATABASE_PAUSE_SECONDS)
            self._wait(_LOOK_EVERY_SECONDS)

    def _drain_into(self, total: Drained) -> None:
        limits = configured_limits()
        if self._deadline is not None:
            left = max(0, int(self._deadline - time.monotonic()))
            limits = replace(limits, total_seconds=min(limits.total_seconds, left))
        total.include(
            drain_here(
                worker=total.worker,
                clock=timezone.now,
                limits=limits,
                should_stop=self._is_over,
            )
        )

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_over() and time.monotonic() < until:
            time.sleep(0.05)

    def _print(self, total: Drained, *, seconds: float, as_json: bool) -> None:
        left = queue_left(now=timezone.now())
        if as_json:
            document = {
                **asdict(total),
                "seconds": round(seconds, 3),
                "left": {
                    **asdict(left),
                    "next_due_at": left.next_due_at and left.next_due_at.isoformat(),
                },
            }
            self.stdout.write(json.dumps(document, indent=1))
            return
        self.stdout.write(
            f"{total.completed} completed, {total.deferred} deferred, {total.retried} to retry,"
            f" {total.dead} dead, {total.held} held, {total.given_back} given back,"
            f" {total.lost} lost to others;"
            f" {total.batches} batches in {timedelta(seconds=round(seconds))}"
        )
        if total.ran_out_of_time:
            self.stdout.write("The time was up.")
        self.stdout.write(_left_in_words(left))


def _tick() -> None:
    correlation_id = new_correlation_id()
    with correlated(correlation_id):
        tick_here(correlation_id=correlation_id, now=timezone.now())


def _left_in_words(left: QueueLeft) -> str:
    if not (left.due or left.later or left.held or left.running):
        return "Nothing is left in the queue."
    later = f" (the first at {left.next_due_at.isoformat()})" if left.next_due_at else ""
    return (
        f"Left in the queue: {left.due} due, {left.later} not due yet{later}, {left.held} held"
        f" because their host is down, {left.running} running in other processes."
    )
