"""Writes chains to files that can be verified without us: lines, a manifest, and a verifier.

    manage.py audit_export FOLDER                           every tenant, from the first entry on
    manage.py audit_export FOLDER --tenant acme --after 500 what came behind an earlier export

Keep the manifests where the owner of the database cannot write: `audit_verify --manifest` then
shows even a chain whose end was cut off together with its head. An export is itself recorded.

Exit code 0: written. 2: a tenant named has nothing to export.
"""

import argparse
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.correlation import new_correlation_id
from audit.domain.canonical import utc_text
from audit.domain.entries import Actor, ActorKind, Entry
from audit.management import verify_export
from audit.selectors import tenants_on_record
from audit.services import append_one
from audit.services.exporting import (
    NothingToExport,
    Stretch,
    exported_lines,
    manifest_of,
    stretch_to_export,
)


class Command(BaseCommand):
    """Export audit chains."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("folder", type=Path, help="where to write; made when missing")
        parser.add_argument("--tenant", help="only this tenant; '' is the site's own trail")
        parser.add_argument("--after", type=int, default=0, help="begin behind this entry")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files and say what they are."""
        if options["after"] and options["tenant"] is None:
            raise CommandError("--after needs --tenant: every chain counts for itself.")
        chosen = [options["tenant"]] if options["tenant"] is not None else tenants_on_record()
        try:
            stretches = [stretch_to_export(tenant, after=options["after"]) for tenant in chosen]
        except NothingToExport as error:
            raise CommandError(str(error), returncode=2) from error
        folder: Path = options["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(verify_export.__file__, folder / "verify_export.py")
        manifests = [_write(stretch, folder) for stretch in stretches]
        if options["json"]:
            self.stdout.write(json.dumps({"manifests": [str(path) for path in manifests]}))
            return
        for path in manifests:
            self.stdout.write(f"{path}")
        self.stdout.write(f"Verify with: python3 {folder / 'verify_export.py'} {folder}/*.json")


def _write(stretch: Stretch, folder: Path) -> Path:
    """Write lines and manifest, record the export, and return the manifest."""
    name = f"audit-{stretch.tenant or '_site'}-{stretch.first:012d}-{stretch.last:012d}"
    whole, entries = hashlib.sha256(), 0
    draft = folder / f"{name}.draft"
    with draft.open("w", encoding="utf-8", newline="\n") as stream:
        for line in exported_lines(stretch):
            stream.write(line)
            whole.update(line.encode())
            entries += 1
    draft.replace(folder / f"{name}.ndjson")
    now = timezone.now()
    manifest = folder / f"{name}.json"
    text = manifest_of(
        stretch, sha256=whole.hexdigest(), entries=entries, exported_at=utc_text(now)
    )
    with transaction.atomic():
        append_one(
            Entry(
                tenant=stretch.tenant,
                at=now,
                actor=Actor(ActorKind.USER, os.environ.get("USER", "operator")),
                action="audit.export",
                object_kind="audit_chain",
                object_id=f"{stretch.first}..{stretch.last}",
                correlation_id=new_correlation_id(),
                data={"entries": entries, "sha256": whole.hexdigest()},
            )
        )
        manifest.write_text(text + "\n", encoding="utf-8")
    return manifest
