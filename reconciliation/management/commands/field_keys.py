"""Makes keys that encrypt secrets at rest, and moves every secret to the newest key.

manage.py field_keys new       print a new key; put it first in FIELD_ENCRYPTION_KEYS
manage.py field_keys rotate    encrypt everything with the newest key; older keys may go then
manage.py field_keys status    how many secrets are under which key
"""

import argparse
import json
from collections import Counter
from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.domain.encryption import WrongKey
from governance.services.field_keys import (
    free_key_id,
    newest_key_id,
    rotate_to_newest,
    stored_under,
)
from reconciliation.models import WebhookSecret


class Command(BaseCommand):
    """Manage the keys of encrypted columns."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("act", choices=("new", "rotate", "status"))
        parser.add_argument("--id", help="id of a new key, letters and digits; default: a free one")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one act and print it."""
        told: dict[str, Any]
        if options["act"] == "new":
            key_id = options["id"] or free_key_id()
            if not key_id.isalnum():
                raise CommandError(f"{key_id!r} is no id: use letters and digits.")
            told = {"key": f"{key_id}:{Fernet.generate_key().decode()}"}
        elif options["act"] == "rotate":
            try:
                told = {"newest": newest_key_id(), "moved": rotate_to_newest([WebhookSecret])}
            except WrongKey as error:
                raise CommandError(f"{error}. Nothing was changed.") from error
        else:
            told = {"newest": newest_key_id(), "under": Counter(stored_under([WebhookSecret]))}
        self.stdout.write(
            json.dumps(told, indent=1)
            if options["json"]
            else "\n".join(f"{key}: {value}" for key, value in told.items())
        )
