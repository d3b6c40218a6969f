"""Joins the names of one person or bot in a tenant: host login, e-mail, actor and agent names.

    manage.py alias add --tenant acme ada-lovelace ada
    manage.py alias add --tenant acme ada@acme.example ada
    manage.py alias list --tenant acme
    manage.py alias remove --tenant acme ada-lovelace

A run record covers a push only when its actor is the pusher, or holds the lease that stood. Names
are compared exactly as they are written, after aliases.
"""

import argparse
import json
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import new_correlation_id
from audit.domain.entries import Actor, ActorKind
from governance.models import Alias, Tenant
from governance.services.aliases import InvalidAlias, add_alias, remove_alias


class Command(BaseCommand):
    """Manage aliases."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=("add", "list", "remove"))
        parser.add_argument("name", nargs="?", default="")
        parser.add_argument("identity", nargs="?", default="")
        parser.add_argument("--tenant", metavar="SLUG", required=True)
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one act and print it."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']!r}.")
        rows = {"add": _add, "list": _list, "remove": _remove}[options["act"]](tenant, options)
        if options["json"]:
            self.stdout.write(json.dumps({"aliases": rows}, indent=1))
            return
        for row in rows:
            self.stdout.write(f"{row['name']} is {row['identity']}")


def _add(tenant: Tenant, options: dict[str, Any]) -> list[dict[str, str]]:
    if not options["name"] or not options["identity"]:
        raise CommandError("Name the alias and whom it stands for: alias add … NAME IDENTITY")
    try:
        return [_described(add_alias(tenant, options["name"], options["identity"], **_who()))]
    except InvalidAlias as error:
        raise CommandError(str(error)) from error


def _list(tenant: Tenant, _: dict[str, Any]) -> list[dict[str, str]]:
    rows = Alias.objects.filter(tenant=tenant).order_by("identity", "name")
    return [_described(row) for row in rows]


def _remove(tenant: Tenant, options: dict[str, Any]) -> list[dict[str, str]]:
    row = Alias.objects.filter(tenant=tenant, name=options["name"]).first()
    if row is None:
        raise CommandError(f"{options['name']!r} is no alias in {tenant.slug}; see `alias list`.")
    described = _described(row)
    remove_alias(row, **_who())
    return [described]


def _described(row: Alias) -> dict[str, str]:
    return {"tenant": row.tenant.slug, "name": row.name, "identity": row.identity}


def _who() -> dict[str, Any]:
    return {
        "actor": Actor(ActorKind.USER, os.environ.get("USER", "operator")),
        "correlation_id": new_correlation_id(),
        "now": timezone.now(),
    }
