"""Imports the leases of a Reach lease file into one repository, and reports what contradicts.

    manage.py import_leases dgl/sccl/leases.json --repository acme/main/api --dry-run
    manage.py import_leases leases.json --repository acme/main/api --repo-id reach
    manage.py import_leases leases.json --repository acme/main/api --json

Leases that cannot be true together, such as two live ones on one branch, are named and not stored.
FILE `-` is standard input. With --json one JSON document is printed.

Exit code 0: everything was stored, or was known already. 1: something was not stored; the output
says what and why. 2: no such repository, or no such file, or it is no lease file.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from audit.domain.entries import Actor, ActorKind
from governance.domain.reach_leases import NotALeaseFile
from governance.models import Repository
from governance.services.policies import load_policies
from governance.services.reach_import import LeaseImport, import_reach_leases


class Command(BaseCommand):
    """Import a Reach lease file."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", help="a Reach leases.json; - reads standard input")
        parser.add_argument("--repository", required=True, help="tenant/workspace/repo")
        parser.add_argument("--repo-id", default="", help="the file's own name of the repository")
        parser.add_argument("--dry-run", action="store_true", help="report only, store nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, print, and exit 1 when something was not stored."""
        repository = _repository(options["repository"])
        with correlated(new_correlation_id()) as correlation_id:
            try:
                done = import_reach_leases(
                    repository,
                    _document(options["file"]),
                    repo_id=options["repo_id"],
                    dry_run=options["dry_run"],
                    rules=load_policies([repository.pk]).for_branch(repository.pk, "").lease,
                    actor=Actor(ActorKind.SYSTEM, "import_leases"),
                    correlation_id=correlation_id,
                    now=timezone.now(),
                )
            except NotALeaseFile as error:
                raise CommandError(f"{options['file']}: {error}", returncode=2) from error
        if options["json"]:
            values = {"repository": options["repository"], **_values(done)}
            self.stdout.write(json.dumps(values, indent=1, sort_keys=True))
        else:
            self.stdout.write("\n".join(_lines(done)))
        if done.refused:
            sys.exit(1)


def _repository(address: str) -> Repository:
    parts = address.split("/")
    found = None
    if len(parts) == 3:
        found = (
            Repository.objects.select_related("tenant", "workspace")
            .filter(tenant__slug=parts[0], workspace__slug=parts[1], slug=parts[2])
            .first()
        )
    if found is None:
        raise CommandError(
            f"There is no repository {address}: write tenant/workspace/repo.", returncode=2
        )
    return found


def _document(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", returncode=2) from error
    except ValueError as error:
        raise CommandError(f"{file}: no JSON in UTF-8: {error}", returncode=2) from error


def _values(done: LeaseImport) -> dict[str, Any]:
    return {
        "dry_run": done.dry_run,
        "stored": list(done.stored),
        "known": list(done.known),
        "refused": list(done.refused),
        "broken": [
            {
                "code": one.code,
                "lease_ids": list(one.lease_ids),
                "detail": one.detail,
                "stops": one.stops,
            }
            for one in done.broken
        ],
    }


def _lines(done: LeaseImport) -> list[str]:
    verb = "would be stored" if done.dry_run else "stored"
    problems = [
        f"{'BROKEN' if one.stops else 'odd'} {one.code} {', '.join(one.lease_ids)}: {one.detail}"
        for one in done.broken
    ]
    counts = (
        f"{len(done.stored)} {verb}, {len(done.known)} known already, {len(done.refused)} refused"
    )
    return [*problems, counts]
