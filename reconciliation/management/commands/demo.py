"""Plays the demonstration on real git, then stays up; see README.

manage.py demo                 play, print one table, the URL and the login, stay up
manage.py demo --once          exit instead: 0 when every scene came out as expected
manage.py demo --json PATH     also write the result as JSON
manage.py demo --port 8001     serve the site there; without it at 8000, or where it is free

With DATABASE_URL set to a PostgreSQL, a database of its own is made there, called like the one that
the address names with `_demo` at the end; the one that it names is left alone.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from demo.main import Demo


class Command(BaseCommand):
    """Play the demonstration."""

    help = __doc__
    requires_system_checks = []  # the installation it makes is another one than this process's

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="exit when the story is told")
        parser.add_argument("--json", metavar="PATH", type=Path, help="write the result there")
        parser.add_argument("--port", type=int, help="of the site; it must be free")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play it."""
        sys.exit(Demo(once=options["once"], json_path=options["json"], port=options["port"]).play())
