"""Runs the workers: django-q2's cluster under a supervisor that judges it by its progress.

    manage.py reconcile_worker            work until SIGTERM or SIGINT
    manage.py reconcile_worker --once     start, wait for the first proof of work, stop
    manage.py reconcile_worker --json     tell what happens as JSON, one document per line

Work goes on from the first second: until the cluster has proven itself, and whenever it hangs, the
supervisor drains the queue itself. A stop lets every batch at hand finish, gives the rest back and
ends within 35 seconds. Nothing outlives the supervisor, even when it is killed (on Linux).

Exit code 0: stopped in order. 1: --once, and the cluster did not prove itself.
"""

import argparse
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.domain.supervision import Patience
from reconciliation.schedules import ensure_tick_schedule
from reconciliation.services.execute import Drained, Stop
from reconciliation.services.installation import drain_here, tick_here, worker_name
from reconciliation.services.processes import die_with_parent, have_forks_die_with_their_parent
from reconciliation.services.stand_in import StandIn
from reconciliation.services.supervision import Supervisor
from reconciliation.services.tether import tether_of

logger = logging.getLogger("reconciler.supervisor")

_PROJECT = Path(__file__).resolve().parents[3]


class Command(BaseCommand):
    """Run the workers."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="stop once proven to work")
        parser.add_argument("--json", action="store_true", help="tell events as JSON lines")
        parser.add_argument(
            "--canary-every",
            type=float,
            default=5.0,
            metavar="SECONDS",
            help="how often the cluster is asked for a sign of progress (5)",
        )
        parser.add_argument(
            "--canary-deadline",
            type=float,
            default=15.0,
            metavar="SECONDS",
            help="a cluster that gives no sign for so long is killed and started again (15)",
        )
        parser.add_argument("--as-cluster", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Supervise until told to stop."""
        if options["as_cluster"]:
            self._be_the_cluster()
            return
        self._as_json: bool = options["json"]
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: stopping.append(received))
        try:
            ensure_tick_schedule(now=timezone.now())
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {error}. Is it running, and migrated?"
            ) from error
        supervisor = Supervisor(
            [sys.executable, "-m", "django", "reconcile_worker", "--as-cluster"],
            new_name=lambda: secrets.token_hex(4),
            stand_in=StandIn(drain=_drain_here, tick=_tick_here, clock=timezone.now),
            tell=self._tell,
            clock=timezone.now,
            patience=Patience(next=timedelta(seconds=options["canary_deadline"])),
            canary_every=timedelta(seconds=options["canary_every"]),
        )
        # The cluster is started by the same Python from the same source, wherever we were started.
        paths = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        os.environ["DJANGO_SETTINGS_MODULE"] = settings.SETTINGS_MODULE
        is_proven = supervisor.run(should_stop=lambda: bool(stopping), until_proven=options["once"])
        if options["once"] and not is_proven:
            sys.exit(1)

    def _be_the_cluster(self) -> None:
        """Become django-q2's cluster, tied to the supervisor that started it."""
        tether = tether_of(os.environ)
        if tether is not None:
            die_with_parent(tether.supervisor_pid)
            have_forks_die_with_their_parent()
        call_command("qcluster")

    def _tell(self, event: str, facts: Mapping[str, Any]) -> None:
        if self._as_json:
            told = {"event": event, "at": timezone.now().isoformat(), **facts}
            self.stdout.write(json.dumps(told))
            self.stdout.flush()
            return
        words = " ".join(f"{name}={value}" for name, value in facts.items())
        logger.log(_LEVELS.get(event, logging.INFO), "%s %s", event, words)


_LEVELS = {
    "cluster.hung": logging.ERROR,
    "cluster.gone": logging.ERROR,
    "cluster.lingers": logging.ERROR,
    "database.gone": logging.WARNING,
    "stand_in.lingers": logging.WARNING,
}


def _drain_here(should_stop: Stop) -> Drained:
    return drain_here(
        worker=f"{worker_name()}:stand-in", clock=timezone.now, should_stop=should_stop
    )


def _tick_here() -> None:
    correlation_id = new_correlation_id()
    with correlated(correlation_id):
        tick_here(correlation_id=correlation_id, now=timezone.now())
