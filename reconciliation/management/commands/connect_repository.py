"""Governs a git repository: records its heads as first snapshots and makes a webhook source.

    manage.py connect_repository https://git.example.org/acme/api.git --tenant acme --workspace main

Reads the repository over the git protocol; nothing is ever written to it. Prints the webhook's
address and secret (shown once) with the steps for the host. Credentials come from the environment:
--username NAME --secret-env VAR.
"""

import argparse
import json
import os
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from audit.domain.entries import Actor, ActorKind
from governance.services.repositories import AlreadyConnected, BadName, refuse_taken_name
from reconciliation.management.new_secret import new_secret
from reconciliation.services.connect import CannotRead, Connected, connect, first_look
from reconciliation.services.host_steps import guess_host, steps_for
from reconciliation.services.observe import configured_remote


class Command(BaseCommand):
    """Connect one repository."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("clone_url")
        parser.add_argument("--tenant", required=True)
        parser.add_argument("--workspace", required=True)
        parser.add_argument("--name", help="default: the last part of the clone URL")
        parser.add_argument("--host", help="github, gitlab, gitea, forgejo, … default: guessed")
        parser.add_argument("--username", default="", help="user name for HTTP")
        parser.add_argument("--secret-env", help="environment variable with the HTTP secret")
        parser.add_argument(
            "--webhook-secret-env", help="environment variable with the webhook secret to use"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Connect and print what to do on the host."""
        url: str = options["clone_url"]
        name = options["name"] or url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git").lower()
        host = options["host"] or guess_host(url)
        secret = _from_env(options["webhook_secret_env"]) or new_secret(host)
        credential = None
        if options["secret_env"]:
            credential = (options["username"], _from_env(options["secret_env"]) or "")
        correlation_id, now, remote = new_correlation_id(), timezone.now(), configured_remote()
        try:
            refuse_taken_name(options["tenant"], name)
            look = first_look(
                url,
                place=f"{options['tenant']}/{name}",
                credential=credential,
                remote=remote,
                now=now,
            )
            # What is stored is shown, and the other way round: the secret is shown only once.
            with correlated(correlation_id), transaction.atomic():
                connected = connect(
                    look,
                    tenant=options["tenant"],
                    workspace=options["workspace"],
                    name=name,
                    host_kind=host,
                    source_token=secrets.token_urlsafe(32),
                    source_secret=secret,
                    actor=Actor(ActorKind.USER, os.environ.get("USER", "operator")),
                    correlation_id=correlation_id,
                    now=now,
                )
                self._show(connected, secret, as_json=options["json"])
        except (CannotRead, AlreadyConnected, BadName) as error:
            raise CommandError(str(error)) from error
        remote.adopt(look.mirror_key, new_key=str(connected.repository.id))

    def _show(self, connected: Connected, secret: str, *, as_json: bool) -> None:
        path = f"/api/v1/webhooks/{connected.source.token}"
        webhook_url = settings.PUBLIC_URL.rstrip("/") + path
        if as_json:
            self.stdout.write(json.dumps(_document(connected, webhook_url, path, secret), indent=1))
            self.stdout.flush()
            return
        place = connected.repository
        self.stdout.write(
            f"Governing {place.tenant}/{place.workspace}/{place.slug}: {connected.heads} heads"
            f" recorded as first snapshots, default branch {place.default_branch or 'unknown'}."
        )
        if connected.history_problem:
            self.stdout.write(
                f"Its history could not be read yet ({connected.history_problem}):"
                " ancestry stays unknown until it can."
            )
        self.stdout.write(f"\nWebhook URL     {webhook_url}\nWebhook secret  {secret}\n")
        host = connected.source.host_kind
        self.stdout.write(f"(shown once)\n\n{steps_for(host, webhook_url)}")
        self.stdout.flush()


def _document(connected: Connected, webhook_url: str, path: str, secret: str) -> dict[str, object]:
    place = connected.repository
    return {
        "repository": f"{place.tenant}/{place.workspace}/{place.slug}",
        "repository_id": place.id,
        "heads": connected.heads,
        "default_branch": place.default_branch,
        "history_problem": connected.history_problem,
        "host": connected.source.host_kind,
        "webhook_url": webhook_url,
        "path": path,
        "secret": secret,
    }


def _from_env(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise CommandError(f"The environment variable {variable} is not set or empty.")
    return value
