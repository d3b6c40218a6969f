"""Lists webhook deliveries, shows one in full, replays one or many with a reason.

    manage.py deliveries list --repository acme/api --since 2026-03-02 --outcome ignored
    manage.py deliveries show 17
    manage.py deliveries replay 17 18 --reason "the repository was connected later"
    manage.py deliveries replay --source 3 --outcome malformed --dry-run
    manage.py deliveries replay --repository acme/api --not-applied --reason "the queue was lost"

A replay reads deliveries again as they were received and plans what they ask for now. --json prints
one JSON document.
"""

import argparse
import getpass
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from audit.domain.caller import Caller
from audit.domain.canonical import utc_text
from audit.domain.entries import Actor, ActorKind
from reconciler_site.base.times import InvalidMoment, moment_of
from reconciliation.models import DeliveryOutcome, WebhookDelivery
from reconciliation.selectors.deliveries import DeliveryChoice, chosen_deliveries
from reconciliation.selectors.visible import visible_tasks
from reconciliation.services.delivery_replay import (
    DEFAULT_CAP,
    NothingChosen,
    ReasonTooShort,
    Replay,
    replay_deliveries,
)

_LISTED = 50
_LARGEST = 2**63 - 1
_COLUMNS = (
    "id",
    "received_at",
    "source_id",
    "event",
    "outcome",
    "reason",
    "task_id",
    "task__state",
    "applied_at",
    "correlation_id",
)


class Command(BaseCommand):
    """Look at deliveries and replay them."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=("list", "show", "replay"))
        parser.add_argument("delivery_ids", nargs="*", type=_positive, metavar="DELIVERY")
        parser.add_argument("--repository", default="", help="tenant/repo")
        parser.add_argument("--tenant", default="")
        parser.add_argument("--source", type=_positive, help="a webhook source's id")
        parser.add_argument("--event", default="")
        parser.add_argument("--outcome", default="", choices=["", *DeliveryOutcome.values])
        parser.add_argument("--not-applied", action="store_true", help="not worked in yet")
        parser.add_argument("--since", type=_moment, help="received at or after, ISO 8601, UTC")
        parser.add_argument("--until", type=_moment, help="received before, ISO 8601, UTC")
        parser.add_argument("--reason", default="", help="at least 10 characters; others read it")
        parser.add_argument(
            "--cap", type=_positive, default=DEFAULT_CAP, help="replay at most so many"
        )
        parser.add_argument("--limit", type=_positive, default=_LISTED, help="list at most so many")
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one act and print it."""
        caller = Caller(
            Actor(ActorKind.USER, getpass.getuser()), tenants=None, scopes=frozenset({"admin"})
        )
        choice = _choice(options)
        act = {"list": self._list, "show": self._show, "replay": self._replay}[options["act"]]
        act(caller, choice, options)

    def _list(self, caller: Caller, choice: DeliveryChoice, options: dict[str, Any]) -> None:
        rows = chosen_deliveries(caller, choice).order_by("-id").values(*_COLUMNS)
        found = [_shown(row) for row in rows[: options["limit"]]]
        if options["json"]:
            self.stdout.write(json.dumps({"deliveries": found}, indent=1))
            return
        for row in found:
            work = (
                f"task {row['task_id']} {row['task__state']}" if row["task_id"] else row["reason"]
            )
            self.stdout.write(
                f"{row['id']}  {row['received_at']}  source {row['source_id']}  {row['event']}"
                f"  {row['outcome']}  {work}  {row['correlation_id']}"
            )

    def _show(self, caller: Caller, choice: DeliveryChoice, options: dict[str, Any]) -> None:
        if len(choice.delivery_ids) != 1:
            raise CommandError("Name one delivery: manage.py deliveries show 17")
        row = chosen_deliveries(caller, choice).values(
            *_COLUMNS, "delivery_id", "headers", "events", "body_sha256", "body_bytes", "secret_id"
        )
        found = row.first()
        if found is None:
            raise CommandError(f"There is no delivery {choice.delivery_ids[0]}.")
        kept = WebhookDelivery.objects.filter(pk=found["id"], body__isnull=False).exists()
        first = found["task_id"] or 0
        tasks = visible_tasks(caller).filter(Q(pk=first) | Q(parent_id=first)).order_by("id")
        document = {
            **_shown(found),
            "headers": json.loads(found["headers"]),
            "events": json.loads(found["events"]),
            "body_is_kept": kept,
            "tasks": [
                {"task": pk, "task_kind": kind, "branch": branch, "state": state}
                for pk, kind, branch, state in tasks.values_list(
                    "pk", "task_kind", "branch", "state"
                )
            ],
        }
        # In full, for people too: what is odd about a delivery is never where one looks first.
        self.stdout.write(json.dumps(document, indent=1, ensure_ascii=False))

    def _replay(self, caller: Caller, choice: DeliveryChoice, options: dict[str, Any]) -> None:
        correlation_id = new_correlation_id()
        try:
            with correlated(correlation_id):
                done = replay_deliveries(
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
        except NothingChosen as error:
            raise CommandError(str(error)) from error
        self._say(done, correlation_id, as_json=options["json"])

    def _say(self, done: Replay, correlation_id: str, *, as_json: bool) -> None:
        if as_json:
            document = {"correlation_id": correlation_id, **asdict(done)}
            self.stdout.write(json.dumps(document, indent=1, ensure_ascii=False))
            return
        for one in done.deliveries:
            place = f"{one.tenant}/{one.repo}" if one.repo else one.tenant
            what = one.subject or one.reason
            self.stdout.write(f"{one.delivery}  {one.outcome}  {place}  {what}")
        total = len(done.deliveries)
        self.stdout.write(
            f"{total} deliveries" + (" looked at; nothing was changed" if done.dry_run else "")
        )
        if done.left:
            self.stdout.write(f"{done.left} more lie beyond the cap; run it again")


def _choice(options: dict[str, Any]) -> DeliveryChoice:
    tenant, _, repo = options["repository"].rpartition("/")
    if options["repository"] and not tenant:
        raise CommandError("Name a repository as tenant/repo.")
    return DeliveryChoice(
        delivery_ids=tuple(options["delivery_ids"]),
        # tenant/workspace/repo is understood too: a repository's name is unique in its tenant.
        tenant=options["tenant"] or tenant.partition("/")[0],
        repo=repo,
        webhook_source=options["source"],
        event=options["event"],
        outcome=options["outcome"],
        applied=False if options["not_applied"] else None,
        since=options["since"],
        until=options["until"],
    )


def _positive(text: str) -> int:
    number = int(text)
    if not 0 < number <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {_LARGEST}")
    return number


def _moment(text: str) -> datetime:
    try:
        return moment_of(text)
    except InvalidMoment as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: utc_text(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
