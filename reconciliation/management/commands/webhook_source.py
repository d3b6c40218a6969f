"""Makes, lists, rotates and revokes webhook sources.

    manage.py webhook_source create --repository acme/main/api --host github
    manage.py webhook_source create --tenant acme --host github      # one hook of an organisation
    manage.py webhook_source list [--repository acme/main/api]
    manage.py webhook_source rotate SOURCE_ID [--overlap-hours 24]
    manage.py webhook_source revoke SOURCE_ID

Secrets are shown once. --secret-env VAR uses a secret of your own from the environment; --signing
makes one for GitLab's `Signing token` instead of its `Secret token`.
"""

import argparse
import json
import os
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Prefetch
from django.utils import timezone

from audit.correlation import new_correlation_id
from audit.domain.canonical import utc_text
from audit.domain.entries import Actor, ActorKind
from governance.domain.encryption import WrongKey
from governance.selectors.branch_facts import repository_at, tenant_id_of
from reconciliation.management.new_secret import new_secret
from reconciliation.models import WebhookSecret, WebhookSource
from reconciliation.services.host_steps import steps_for
from reconciliation.services.sources import create_source, revoke_source, rotate_secret
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.matching import Secret
from reconciliation.webhooks.standard_webhooks import is_signing_secret

_LONGEST_NAME = 100
# Without their values: a lost key must not close the list.
_SECRETS = Prefetch("secrets", WebhookSecret.objects.defer("value").order_by("-created_at", "-id"))


class Command(BaseCommand):
    """Manage webhook sources."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=("create", "list", "rotate", "revoke"))
        parser.add_argument("source", nargs="?", type=int, help="a source's id")
        parser.add_argument("--repository", help="tenant/workspace/repo")
        parser.add_argument("--tenant", help="for a source of a whole organisation")
        parser.add_argument("--host", choices=[kind.value for kind in HostKind])
        parser.add_argument("--name", default="")
        parser.add_argument("--secret-env", help="environment variable with the secret to use")
        parser.add_argument(
            "--signing", action="store_true", help="make a whsec_ secret (GitLab's signing token)"
        )
        parser.add_argument("--overlap-hours", type=int, default=24)
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one act and print it."""
        told: dict[str, Any] = {
            "create": self._create,
            "list": self._list,
            "rotate": self._rotate,
            "revoke": self._revoke,
        }[options["act"]](options)
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=1))
            return
        for line in told.get("sources", [told]):
            self.stdout.write("  ".join(f"{key}={_plain(value)}" for key, value in line.items()))
        if options["act"] == "create":
            self.stdout.write(steps_for(told["host"], told["url"]))

    def _create(self, options: dict[str, Any]) -> dict[str, Any]:
        if not options["host"]:
            raise CommandError("Name the host with --host: it decides how requests are read.")
        repository = repository_at(options["repository"]) if options["repository"] else None
        if options["repository"] and repository is None:
            raise CommandError(f"{options['repository']} is not governed; connect it first.")
        tenant = repository.tenant if repository else options["tenant"]
        tenant_id = tenant_id_of(tenant or "")
        if tenant is None or tenant_id is None:
            raise CommandError("Name a governed repository with --repository, or a --tenant.")
        if options["tenant"] not in (None, tenant):
            raise CommandError(f"{options['repository']} is not of tenant {options['tenant']}.")
        secret = _given(options) or new_secret(options["host"], signing=options["signing"])
        try:
            source = create_source(
                tenant_id=tenant_id,
                tenant=tenant,
                repository_id=repository.id if repository else None,
                host_kind=options["host"],
                name=(options["name"] or options["repository"] or tenant)[:_LONGEST_NAME],
                token=secrets.token_urlsafe(32),
                secret=secret,
                **_who(),
            )
        except ValueError as error:
            raise CommandError(f"Nothing was made: {error}.") from error
        return {**_describe(source), "secret": secret}

    def _list(self, options: dict[str, Any]) -> dict[str, Any]:
        rows = WebhookSource.objects.select_related("tenant", "repository__workspace")
        if options["repository"]:
            repository = repository_at(options["repository"])
            rows = rows.filter(repository_id=repository.id if repository else -1)
        if options["tenant"]:
            rows = rows.filter(tenant__slug=options["tenant"])
        ordered = rows.order_by("tenant__slug", "id").prefetch_related(_SECRETS)
        return {"sources": [{**_describe(row), "secrets": _live_secrets(row)} for row in ordered]}

    def _rotate(self, options: dict[str, Any]) -> dict[str, Any]:
        source = _existing(options["source"])
        secret = _given(options) or new_secret(
            source.host_kind, signing=options["signing"] or _signs(source)
        )
        who = _who()
        try:
            overlap = timedelta(hours=options["overlap_hours"])
            ends = who["now"] + overlap
            rotate_secret(source, secret=secret, overlap=overlap, **who)
        except (ValueError, OverflowError) as error:
            raise CommandError(f"Nothing was changed: {error}.") from error
        return {**_describe(source), "secret": secret, "older_secrets_end": utc_text(ends)}

    def _revoke(self, options: dict[str, Any]) -> dict[str, Any]:
        source = _existing(options["source"])
        revoke_source(source, **_who())
        source.refresh_from_db()
        return _describe(source)


def _describe(source: WebhookSource) -> dict[str, Any]:
    path = f"/api/v1/webhooks/{source.token}"
    repository = source.repository
    return {
        "source": source.pk,
        "tenant": source.tenant.slug,
        "repository": repository.slug if repository else None,
        "host": source.host_kind,
        "path": path,
        "url": settings.PUBLIC_URL.rstrip("/") + path,
        "revoked_at": utc_text(source.revoked_at) if source.revoked_at else None,
    }


def _live_secrets(source: WebhookSource) -> list[dict[str, Any]]:
    """Return which secrets there are, newest first, without their values."""
    return [
        {
            "secret_id": str(secret.pk),
            "created_at": utc_text(secret.created_at),
            "expires_at": utc_text(secret.expires_at) if secret.expires_at else None,
        }
        for secret in source.secrets.all()
        if secret.revoked_at is None
    ]


def _plain(value: Any) -> str:
    if not isinstance(value, list):
        return "-" if value is None else str(value)
    lives = [
        one["secret_id"] + (f" until {one['expires_at']}" if one["expires_at"] else "")
        for one in value
    ]
    return ", ".join(lives) or "none"


def _existing(source_id: int | None) -> WebhookSource:
    source = WebhookSource.objects.select_related("tenant").filter(pk=source_id or 0).first()
    if source is None:
        raise CommandError(f"There is no webhook source {source_id}; see `webhook_source list`.")
    return source


def _given(options: dict[str, Any]) -> str | None:
    variable = options["secret_env"]
    if variable is None:
        return None
    if options["signing"]:
        raise CommandError("Either --signing, which makes a secret, or --secret-env.")
    value = os.environ.get(variable)
    if not value:
        raise CommandError(f"The environment variable {variable} is not set or empty.")
    return value


def _signs(source: WebhookSource) -> bool:
    """Tell whether the newest secret is of the kind that signs; so will be the next one."""
    try:
        newest = source.secrets.order_by("-created_at", "-id").first()
        return newest is not None and is_signing_secret(Secret("", newest.value))
    except WrongKey:
        return False  # Its key is lost, and a rotation is the way out.


def _who() -> dict[str, Any]:
    return {
        "actor": Actor(ActorKind.USER, os.environ.get("USER", "operator")),
        "correlation_id": new_correlation_id(),
        "now": timezone.now(),
    }
