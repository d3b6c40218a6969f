"""Runs one pass over a repository now, in this process, and prints what it found.

manage.py reconcile acme/main/api
"""

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from governance.selectors.branch_facts import repository_at
from reconciliation.services.execute import drain
from reconciliation.services.installation import configured_limits, worker_name
from reconciliation.services.observe import configured_remote
from reconciliation.services.passes import PassResult, plan_pass, result_of


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
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Plan a pass, drain, and print; exit 1 when a task of the pass failed."""
        repository = repository_at(options["repository"])
        if repository is None:
            raise CommandError(
                f"{options['repository']} is not governed: use tenant/workspace/repo, or connect it"
                " with `manage.py connect_repository`."
            )
        correlation_id = new_correlation_id()
        with correlated(correlation_id):
            plan_pass(repository, correlation_id=correlation_id, now=timezone.now())
            drain(
                worker=worker_name(),
                remote=configured_remote(),
                clock=timezone.now,
                limits=configured_limits(),
            )
        result = result_of(repository, correlation_id=correlation_id)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_json(), indent=1))
        else:
            self._print(result)
        if result.troubles:
            raise CommandError("The pass met trouble; see above.", returncode=1)

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
        for trouble in result.troubles:
            self.stdout.write(f"\n{trouble['task_kind']} {trouble['branch']}: {trouble['error']}")
        self.stdout.write(
            f"\n{len(result.decisions)} decisions, {len(result.findings)} open findings."
        )
