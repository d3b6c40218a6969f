"""Verifies whole chains and the guards that protect them; changes nothing.

    manage.py audit_verify                    every tenant, the site's own trail included
    manage.py audit_verify --tenant acme      one tenant; repeat for more; '' is the site's own
    manage.py audit_verify --manifest FILE    and that nothing exported has changed since; repeat
    manage.py audit_verify --json             one JSON document, for programs

Exit code 0: everything holds. 1: a chain is broken, or a guard of the database is missing; the
output names tenant, entry and problem. 2: a tenant named has no trail.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.domain.chain import Break
from audit.selectors import missing_triggers, tenants_on_record
from audit.services import Verification, verify_stretch
from audit.services.exporting import contradiction


class Command(BaseCommand):
    """Verify audit chains."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--tenant", action="append", default=[], help="only this tenant")
        parser.add_argument(
            "--manifest", action="append", default=[], type=Path, help="of an earlier export"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, print, and exit 1 when something does not hold."""
        as_json: bool = options["json"]
        known = tenants_on_record()
        unknown = sorted(set(options["tenant"]) - set(known))
        if unknown:
            raise CommandError(
                f"There is no trail of {', '.join(map(repr, unknown))}.", returncode=2
            )
        chains: list[Verification] = []
        for tenant in sorted(set(options["tenant"])) or known:
            started = time.monotonic()
            chains.append(verify_stretch(tenant))
            if not as_json:
                self.stdout.write(_line(chains[-1], seconds=time.monotonic() - started))
        missing = missing_triggers()
        contradictions = [found for path in options["manifest"] if (found := _compare(path))]
        holds = not missing and not contradictions and not any(one.broken for one in chains)
        if as_json:
            document = _document(chains, missing=missing, holds=holds)
            document["contradictions"] = [_shown(found) for found in contradictions]
            self.stdout.write(json.dumps(document, indent=1))
        else:
            for found in contradictions:
                self.stdout.write(f"{found.tenant or '(site)'}: CONTRADICTED: {found.problem}")
            self._conclude(chains, missing=missing)
        if not holds:
            sys.exit(1)

    def _conclude(self, chains: list[Verification], *, missing: list[str]) -> None:
        for name in missing:
            self.stdout.write(
                f"UNGUARDED: trigger {name} is missing, so the database would accept changes;"
                " migrate audit to 0002 and forward again to make all of them anew"
            )
        broken = sum(chain.broken is not None for chain in chains)
        entries = sum(chain.entries for chain in chains)
        self.stdout.write(f"{len(chains)} chains, {entries} good entries, {broken} broken")


def _compare(path: Path) -> Break | None:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        tenant, last, last_hash = (manifest[name] for name in ("tenant", "last", "last_hash"))
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"{path} is no manifest of an export: {error}", returncode=2) from error
    return contradiction(tenant=tenant, last=last, last_hash=last_hash)


def _shown(broken: Break) -> dict[str, Any]:
    return {"tenant": broken.tenant, "seq": broken.seq, "problem": broken.problem}


def _line(chain: Verification, *, seconds: float) -> str:
    name = chain.tenant or "(site)"
    if chain.broken is not None:
        return f"{name}: BROKEN at entry {chain.broken.seq}: {chain.broken.problem}"
    return f"{name}: intact, {chain.entries} entries, head {chain.head.hash}, {seconds:.1f} s"


def _document(chains: list[Verification], *, missing: list[str], holds: bool) -> dict[str, Any]:
    return {
        "status": "intact" if holds else "broken",
        "chains": [
            {
                "tenant": chain.tenant,
                "intact": chain.broken is None,
                "entries": chain.entries,
                "head_seq": chain.head.seq,
                "head_hash": chain.head.hash,
                "broken": _shown(chain.broken) if chain.broken else None,
            }
            for chain in chains
        ],
        "missing_triggers": missing,
    }
