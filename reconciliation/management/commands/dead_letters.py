"""Lists dead letters by cause; requeues or discards them with a reason.

    manage.py dead_letters list
    manage.py dead_letters requeue 17 18 --reason "the credential was renewed"
    manage.py dead_letters requeue --code remote_unavailable --host git.example.org --reason "…"
    manage.py dead_letters requeue --all --dry-run --reason "what would come back?"
    manage.py dead_letters discard --tenant acme --code branch_unknown --reason "…"

A requeued task starts a new series of attempts and keeps its run id and its place. People may
requeue one three times until it completes; then its cause needs mending. --json prints one JSON
document.
"""

import argparse
import getpass
import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from reconciliation.selectors.dead_letters import (
    DeadLetterCause,
    DeadLetterChoice,
    dead_letter_causes,
)
from reconciliation.services.dead_letters import (
    DEFAULT_CAP,
    Dealt,
    ReasonTooShort,
    discard_dead_letters,
    requeue_dead_letters,
)

_ACTS = {"requeue": requeue_dead_letters, "discard": discard_dead_letters}


class Command(BaseCommand):
    """Deal with dead letters."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=["list", *_ACTS])
        parser.add_argument("task_ids", nargs="*", type=int, metavar="TASK")
        parser.add_argument("--tenant", default="")
        parser.add_argument("--workspace", default="")
        parser.add_argument("--repo", default="")
        parser.add_argument("--kind", default="", help="task kind")
        parser.add_argument("--class", default="", dest="error_class", help="error class")
        parser.add_argument("--code", default="", help="error code")
        parser.add_argument("--host", default="", help="host of the clone URL")
        parser.add_argument("--all", action="store_true", help="whatever died of whatever")
        parser.add_argument("--reason", default="", help="at least 10 characters; others read it")
        parser.add_argument(
            "--cap", type=int, default=DEFAULT_CAP, help="deal with at most so many"
        )
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, or act and say what was done."""
        choice = DeadLetterChoice(
            task_ids=tuple(options["task_ids"]),
            tenant=options["tenant"],
            workspace=options["workspace"],
            repo=options["repo"],
            task_kind=options["kind"],
            error_class=options["error_class"],
            error_code=options["code"],
            host=options["host"],
        )
        caller = Caller(
            Actor(ActorKind.USER, getpass.getuser()), tenants=None, scopes=frozenset({"admin"})
        )
        if options["act"] == "list":
            self._list(dead_letter_causes(caller, choice), as_json=options["json"])
            return
        if choice.is_everything and not options["all"]:
            raise CommandError("Name tasks, narrow them by options, or say --all.")
        correlation_id = new_correlation_id()
        try:
            with correlated(correlation_id):
                dealt = _ACTS[options["act"]](
                    choice,
                    caller=caller,
                    reason=options["reason"],
                    correlation_id=correlation_id,
                    now=timezone.now(),
                    cap=options["cap"],
                    dry_run=options["dry_run"],
                )
        except ReasonTooShort as error:
            raise CommandError(f"{error} (--reason)") from error
        self._say(options["act"], dealt, correlation_id, as_json=options["json"])

    def _list(self, causes: tuple[DeadLetterCause, ...], *, as_json: bool) -> None:
        if as_json:
            documents = [
                {
                    **asdict(cause),
                    "first_at": cause.first_at.isoformat(),
                    "last_at": cause.last_at.isoformat(),
                }
                for cause in causes
            ]
            self.stdout.write(json.dumps(documents, indent=1))
            return
        for cause in causes:
            self.stdout.write(
                f"{cause.count} x {cause.error_code} ({cause.error_class}) on {cause.host},"
                f" {cause.repositories} repositories,"
                f" {cause.first_at:%Y-%m-%d %H:%M} to {cause.last_at:%Y-%m-%d %H:%M} UTC"
            )
            self.stdout.write(f"    task {cause.sample_id}: {cause.sample_place}")
            self.stdout.write(f"    {cause.sample_error}")
            self.stdout.write(f"    {cause.probable_fix}\n")
        total = sum(cause.count for cause in causes)
        self.stdout.write(f"{total} dead letters, {len(causes)} causes")

    def _say(self, act: str, dealt: Dealt, correlation_id: str, *, as_json: bool) -> None:
        if as_json:
            document = {"act": act, "correlation_id": correlation_id, **asdict(dealt)}
            self.stdout.write(json.dumps(document, indent=1))
            return
        done = f"{act}ed" if not dealt.dry_run else f"would be {act}ed"
        self.stdout.write(f"{len(dealt.done)} {done}: {' '.join(map(str, dealt.done)) or '-'}")
        if dealt.refused:
            ids = " ".join(map(str, dealt.refused))
            self.stdout.write(f"{len(dealt.refused)} requeued too often already: {ids}")
        if dealt.left:
            self.stdout.write(f"{dealt.left} more lie beyond the cap; run it again")
