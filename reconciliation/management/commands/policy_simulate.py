"""Says what a draft policy would have decided otherwise, before it is published; stores nothing.

    manage.py policy_simulate draft.yaml --layer tenant --target acme
    manage.py policy_simulate draft.yaml --layer branch --target acme/main/api \\
        --branch-pattern 'release/**' --days 90 --against in_force --json

Every decision of the last days is made again on its stored facts under the draft, merged with the
other layers in force. Told are the findings and alerts that would have been gained and lost, by
kind and by repository, with examples. FILE `-` is standard input.

Exit code 0: simulated, whatever came out. 1: the draft could not be published; each problem is
told as file:line:column. 2: no such file or place.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from governance.selectors.policy_places import NoSuchPlace
from governance.services.policy_planning import PolicyRefused, plan_version
from governance.services.policy_reports import problem_values
from reconciliation.management.policy_arguments import place_arguments
from reconciliation.management.policy_files import NOT_POSSIBLE, REFUSED, place_of, read_draft
from reconciliation.management.simulation_output import simulation_lines
from reconciliation.services.simulation import Simulation, simulate
from reconciliation.services.simulation_judging import Against
from reconciliation.services.simulation_reports import simulation_values


class Command(BaseCommand):
    """Simulate a draft policy."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE")
        place_arguments(parser, layer=None)
        parser.add_argument(
            "--days", type=_days, default=30, help="how far back, 1 to 3650 (default 30)"
        )
        parser.add_argument(
            "--against",
            choices=[one.value for one in Against],
            default=Against.STORED.value,
            help="the decisions as stored, or what the policies in force now decide",
        )
        parser.add_argument(
            "--most", type=_number, help="evaluations to look at, the newest first (default: all)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Simulate and print."""
        try:
            found = self._simulate(options)
        except NoSuchPlace as error:
            raise CommandError(str(error), returncode=NOT_POSSIBLE) from error
        except PolicyRefused as refused:
            self._refuse(refused, as_json=options["json"])
        if options["json"]:
            self.stdout.write(json.dumps(simulation_values(found), ensure_ascii=False, indent=1))
            return
        for line in simulation_lines(found):
            self.stdout.write(line)
        for warning in found.plan.warnings:
            self.stderr.write(str(warning))

    def _simulate(self, options: Mapping[str, Any]) -> Simulation:
        place = place_of(options)
        now = timezone.now()
        return simulate(
            plan_version(read_draft(options["file"], layer=place.layer), place=place),
            since=now - timedelta(days=options["days"]),
            until=now,
            against=Against(options["against"]),
            most_evaluations=options["most"],
        )

    def _refuse(self, refused: PolicyRefused, *, as_json: bool) -> NoReturn:
        if as_json:
            values = {"problems": problem_values(refused.problems)}
            self.stdout.write(json.dumps(values, ensure_ascii=False, indent=1))
        else:
            for problem in refused.problems:
                self.stderr.write(str(problem))
        sys.exit(REFUSED)


def _days(text: str) -> int:
    return _between(text, 1, 3650)


def _number(text: str) -> int:
    return _between(text, 1, 10**9)


def _between(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
    return int(text)
