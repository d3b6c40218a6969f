"""Runs one pass over a repository now, in this process, to its end, and prints what it found.

    manage.py reconcile acme/main/api
    manage.py reconcile acme/main/api --timeout 60

The pass ends when all of its checks are done, those included that its own reading led to. What is
not done by then is printed with its reason: it waits for a head to settle (until when), its host is
down, it failed and is tried again, it runs in another process, or it failed for good.

Exit code 0: all is done. 1: a check failed for good, or the command was refused. 3: some of it is
not done; workers go on with it, and the same command can be run again.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from governance.selectors.branch_facts import repository_at
from reconciliation.selectors.unfinished import DEAD, in_words
from reconciliation.services.installation import configured_limits, drain_here, worker_name
from reconciliation.services.passes import PassResult, plan_pass, result_of, work_until_done

UNFINISHED = 3
"""The exit code of a pass that is not done."""

_DRAIN_SECONDS = 10


class Command(BaseCommand):
    """Reconcile one repository."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("repository", help="tenant/workspace/repo")
        parser.add_argument(
            "--timeout",
            type=int,
            default=600,
            metavar="SECONDS",
            help="begin nothing more after so long (default: 600)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Plan a pass, work it to its end, and print; the exit code says whether it is done."""
        repository = repository_at(options["repository"])
        if repository is None:
            raise CommandError(
                f"{options['repository']} is not governed: use tenant/workspace/repo, or connect it"
                " with `manage.py connect_repository`."
            )
        correlation_id = new_correlation_id()
        until = timezone.now() + timedelta(seconds=options["timeout"])
        with correlated(correlation_id):
            plan_pass(repository, correlation_id=correlation_id, now=timezone.now())
            work_until_done(
                correlation_id,
                drain=lambda: _drain(until - timezone.now()),
                clock=timezone.now,
                wait=lambda span: time.sleep(span.total_seconds()),
                until=until,
            )
        result = result_of(repository, correlation_id=correlation_id, now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(result.as_json(), indent=1))
        else:
            self._print(result)
        if result.unfinished:
            failed = any(one.reason == DEAD for one in result.unfinished)
            raise CommandError(
                f"{_tasks(len(result.unfinished))} of this pass not done:\n  "
                + "\n  ".join(in_words(result.unfinished)),
                returncode=1 if failed else UNFINISHED,
            )

    def _print(self, result: PassResult) -> None:
        for line in result.decisions:
            self.stdout.write(
                f"{line['branch'] or '(all heads)'}  {line['task_kind']}  {line['decision']}"
            )
        for finding in result.findings:
            self.stdout.write(f"\n[{finding['severity']}] {finding['summary']}")
            for hit in finding["rule_hits"]:
                self.stdout.write(f"    {hit['rule']} ({hit['weight']}) {hit['inputs'] or ''}")
            self.stdout.write(f"    {finding['recommendation']}")
            if finding["command"]:
                self.stdout.write(f"    $ {finding['command']}")
        self.stdout.write(
            f"\n{len(result.decisions)} decisions, {len(result.findings)} open findings."
        )


def _drain(left: timedelta) -> bool:
    if left <= timedelta(0):
        return False
    limits = configured_limits()
    # Short drains: the queue of others is worked off too, but not after the pass is done.
    most = min(limits.total_seconds, _DRAIN_SECONDS, math.ceil(left.total_seconds()))
    seconds = max(1, most)
    done = drain_here(
        worker=worker_name(), clock=timezone.now, limits=replace(limits, total_seconds=seconds)
    )
    return done.batches > 0 or done.ran_out_of_time


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"
