"""Recomputes stored worklists, keys and decisions, and prints every difference; stores nothing.

manage.py replay --task 12               one task with all its decisions
manage.py replay --sweep 3               a sweep: its worklist, its tasks, their decisions
manage.py replay --correlation ID        everything that one push, sweep, call or click led to
manage.py replay --all --since 7d        everything of the last seven days (or 90m, 24h, or an
                                         instant such as 2026-01-31T12:00:00Z)

Decisions carry the number of the rules that made them. What other rules decided than those of today
is counted apart, and makes no difference unless asked for with --strict.

Exit status: 0 when all came out the same, 1 when anything differs, 2 when there is nothing such.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from reconciler_site.base.times import InvalidMoment, moment_of
from reconciliation.domain.replaying import Difference
from reconciliation.services.replay import Checked, NothingToReplay, Scope, replay

_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    """Replay."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--sweep", type=int, metavar="ID")
        what.add_argument("--task", type=int, metavar="ID")
        what.add_argument("--correlation", metavar="ID")
        what.add_argument("--all", action="store_true", help="everything, or --since")
        parser.add_argument("--since", metavar="WHEN", help="90m, 24h, 7d or an instant")
        parser.add_argument(
            "--strict", action="store_true", help="a decision by other rules is a difference too"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, print, and exit by what was found."""
        if options["since"] and not options["all"]:
            raise CommandError("--since goes with --all.")
        scope = Scope(
            sweep_id=options["sweep"],
            task_id=options["task"],
            correlation_id=options["correlation"],
            since=_since(options["since"]) if options["since"] else None,
        )
        checked = Checked()
        found = replay(scope, checked=checked, strict=options["strict"])
        told = self._tell_json if options["json"] else self._tell
        try:
            told(found, checked)
        except NothingToReplay as error:
            raise CommandError(str(error), returncode=2) from error
        if checked.differences:
            sys.exit(1)

    def _tell(self, found: Iterator[Difference], checked: Checked) -> None:
        for one in found:
            self.stdout.write(f"DIFFERENT {one.what}: {one.of}, {one.at}")
            self.stdout.write(f"  stored      {one.stored}")
            self.stdout.write(f"  recomputed  {one.recomputed}")
        for made, count in sorted(checked.other_rules.items()):
            self.stdout.write(
                f"{count.decisions} {made.task_kind} decision{'' if count.decisions == 1 else 's'}"
                f" made by rules {made.rules}, now {made.rules_now}:"
                f" {count.otherwise or 'none'} would be decided otherwise"
            )
        self.stdout.write(f"{_looked_at(checked)} recomputed: {_number(checked.differences)}")

    def _tell_json(self, found: Iterator[Difference], checked: Checked) -> None:
        """Print one document, difference by difference: there may be more than fit in memory."""
        first = next(found, None)
        self.stdout.write('{"differences": [', ending="")
        if first is not None:
            self.stdout.write(_as_json(first), ending="")
        for one in found:
            self.stdout.write(f",\n {_as_json(one)}", ending="")
        counts = {
            "policies": checked.policies,
            "worklists": checked.worklists,
            "keys": checked.keys,
            "decisions": checked.decisions,
            "decisions_by_kind": dict(sorted(checked.by_kind.items())),
            "differences": checked.differences,
        }
        other_rules = [
            {
                "task_kind": made.task_kind,
                "rules": made.rules,
                "rules_now": made.rules_now,
                "decisions": count.decisions,
                "otherwise": count.otherwise,
            }
            for made, count in sorted(checked.other_rules.items())
        ]
        self.stdout.write(
            f'],\n "counts": {json.dumps(counts)},\n "other_rules": {json.dumps(other_rules)}}}'
        )


def _looked_at(checked: Checked) -> str:
    versions = f"{checked.policies} policy version{'' if checked.policies == 1 else 's'}, "
    return (
        f"{versions if checked.policies else ''}{checked.worklists} worklists,"
        f" {checked.keys} keys and {checked.decisions} decisions"
    )


def _number(differences: int) -> str:
    return f"{differences or 'no'} difference{'' if differences == 1 else 's'}"


def _as_json(one: Difference) -> str:
    return json.dumps(
        {
            "what": one.what,
            "of": one.of,
            "at": one.at,
            "stored": one.stored,
            "recomputed": one.recomputed,
        },
        ensure_ascii=False,
    )


def _since(text: str) -> datetime:
    ago = _AGO.fullmatch(text)
    if ago:
        return timezone.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return moment_of(text, needs_offset=True)
    except InvalidMoment as error:
        raise CommandError(f"{error} Or write 7d, 24h, 90m.") from error
