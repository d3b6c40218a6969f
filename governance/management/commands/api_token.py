"""Issues, lists and revokes API tokens.

    manage.py api_token create --name ci --tenant acme --scope leases --scope read --days 90
    manage.py api_token create --name metrics --all-tenants --scope read
    manage.py api_token create --name reach --tenant acme --scope runs --actor ada \\
        --grant-actor ada-agent
    manage.py api_token list
    manage.py api_token revoke TOKEN_ID

With the scope runs, a token records runs of one actor: `--actor`, or an actor of the token's own
name; `--grant-actor` grants others. Names that aliases join are one actor.

A token is shown once. One for all tenants is for those who run the installation, and for nobody
else: it has to be asked for.
"""

import argparse
import json
import os
import secrets
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import new_correlation_id
from audit.domain.entries import Actor, ActorKind
from governance.models import ApiToken, Scope, Tenant
from governance.services.access import issue_token, revoke_token


class Command(BaseCommand):
    """Manage API tokens."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=("create", "list", "revoke"))
        parser.add_argument("token_id", nargs="?", type=int)
        parser.add_argument("--name")
        parser.add_argument("--tenant", metavar="SLUG")
        parser.add_argument("--all-tenants", action="store_true", help="reach every tenant")
        parser.add_argument("--scope", action="append", choices=Scope.values, default=[])
        parser.add_argument("--actor", default="", help="whose runs it records (scope runs)")
        parser.add_argument("--grant-actor", action="append", default=[], metavar="ACTOR")
        parser.add_argument("--days", type=int, default=90)
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one act and print it."""
        told: dict[str, Any] = {
            "create": self._create,
            "list": self._list,
            "revoke": self._revoke,
        }[options["act"]](options)
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=1))
            return
        for line in told.get("tokens", [told]):
            self.stdout.write("  ".join(f"{key}={value}" for key, value in line.items()))

    def _create(self, options: dict[str, Any]) -> dict[str, Any]:
        if not options["name"] or not options["scope"]:
            raise CommandError("A token needs a --name and at least one --scope.")
        if not 1 <= options["days"] <= 3660:
            raise CommandError("A token lives between 1 and 3660 days.")
        if bool(options["tenant"]) == options["all_tenants"]:
            raise CommandError(
                "Say which tenant the token reaches: --tenant SLUG, or --all-tenants for those who"
                " run the installation."
            )
        tenant = None
        if options["tenant"]:
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            if tenant is None:
                raise CommandError(f"There is no tenant {options['tenant']!r}.")
        try:
            issued = issue_token(
                name=options["name"],
                scopes=options["scope"],
                tenant=tenant,
                lifetime=timedelta(days=options["days"]),
                random_part=secrets.token_urlsafe(32),
                run_actor=options["actor"],
                granted_actors=options["grant_actor"],
                **_who(),
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        return {**_describe(issued.row), "token": issued.clear}

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        rows = ApiToken.objects.select_related("tenant").order_by("id")
        if options["tenant"]:
            rows = rows.filter(tenant__slug=options["tenant"])
        return {"tokens": [_describe(row) for row in rows]}

    def _revoke(self, options: dict[str, Any]) -> dict[str, Any]:
        row = ApiToken.objects.select_related("tenant").filter(pk=options["token_id"] or 0).first()
        if row is None:
            raise CommandError("There is no such token; see `api_token list`.")
        return _describe(revoke_token(row, **_who()))


def _describe(row: ApiToken) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "prefix": row.prefix,
        "tenant": row.tenant.slug if row.tenant else None,
        "scopes": row.scopes,
        "actor": row.actor or row.name,
        "granted_actors": row.granted_actors,
        "expires_at": row.expires_at.isoformat(),
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
        "last_used_at": row.last_used_at.isoformat() if row.last_used_at else None,
    }


def _who() -> dict[str, Any]:
    return {
        "actor": Actor(ActorKind.USER, os.environ.get("USER", "operator")),
        "correlation_id": new_correlation_id(),
        "now": timezone.now(),
    }
