"""Plans one bounded sweep now; workers do its tasks.

manage.py sweep                    what is due
manage.py sweep --dry-run          print the worklist and its digest, store nothing
manage.py sweep --all acme/main    everything in a tenant, a workspace or one repository
"""

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.models import SweepTrigger
from reconciliation.services.installation import configured_budget
from reconciliation.services.sweeps import PlannedSweep, draft_sweep, plan_sweep


class Command(BaseCommand):
    """Plan a sweep."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("scope", nargs="?", default="", help="tenant[/workspace[/repo]]")
        parser.add_argument("--all", action="store_true", help="whatever its age")
        parser.add_argument("--dry-run", action="store_true", help="store nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Plan, and print the worklist."""
        now = timezone.now()
        scope: str = options["scope"]
        everything: bool = options["all"]
        if options["dry_run"]:
            planned = draft_sweep(
                slot=now, scope=scope, everything=everything, budget=configured_budget(), now=now
            )
        else:
            correlation_id = new_correlation_id()
            with correlated(correlation_id):
                planned = plan_sweep(
                    slot=now,
                    scope=scope,
                    everything=everything,
                    trigger=SweepTrigger.MANUAL,
                    budget=configured_budget(),
                    correlation_id=correlation_id,
                    now=now,
                )
        if options["json"]:
            self.stdout.write(json.dumps(_document(planned), indent=1))
            return
        self._print(planned, dry_run=options["dry_run"])

    def _print(self, planned: PlannedSweep, *, dry_run: bool) -> None:
        for item in planned.worklist.items:
            branch = f" {item.branch}" if item.branch else ""
            self.stdout.write(
                f"{item.tenant}/{item.workspace}/{item.repo}{branch}  {item.task_kind}"
                f"  {item.about}  {item.key[:12]}"
            )
        skipped = ", ".join(f"{number} {reason}" for reason, number in planned.choice.skipped)
        verb = "would be planned" if dry_run else "planned"
        self.stdout.write(
            f"{len(planned.worklist.items)} tasks {verb}; {planned.considered} repositories"
            f" considered, skipped: {skipped or 'none'}"
        )
        if left := sum(number for _, number in planned.choice.skipped):
            self.stdout.write(
                f"{left} due repositories are left for later sweeps; run `sweep` again, or let the"
                " scheduler take them in turns."
            )
        self.stdout.write(f"worklist digest {planned.worklist.digest}")


def _document(planned: PlannedSweep) -> dict[str, object]:
    return {
        "sweep": planned.row.pk if planned.row else None,
        "slot": planned.slot.isoformat(),
        "scope": planned.scope,
        "considered": planned.considered,
        "skipped": dict(planned.choice.skipped),
        "digest": planned.worklist.digest,
        "worklist": [
            {**item, "key": one.key}
            for item, one in zip(
                json.loads(planned.worklist.text), planned.worklist.items, strict=True
            )
        ],
    }
