#!/usr/bin/env python3
"""Verifies an exported audit trail with nothing but Python's standard library; asks no database.

    python3 verify_export.py MANIFEST [MANIFEST ...]

Each manifest names a file of lines beside it. Several manifests of one tenant, in order, must
continue each other. Exit code 0: all hold. 1: the output names tenant, entry and problem.

An entry's hash is SHA-256 over the hash before it, a line feed, and its body; the first hash
before is 64 zeros. The manifest's own hashes are only as good as the place it was kept in.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
FORMAT = "audit-export-v1"


def main(arguments: list[str]) -> int:
    """Verify the exports named and return the exit code."""
    if not arguments or arguments[0].startswith("-"):
        sys.stdout.write(f"{__doc__}\n")
        return 2
    ends: dict[str, tuple[int, str]] = {}
    failed = False
    for argument in arguments:
        try:
            said, problem = verify(Path(argument), ends=ends)
        except (OSError, ValueError, KeyError, TypeError) as error:
            said, problem = argument, f"cannot be read: {type(error).__name__}: {error}"
        failed = failed or bool(problem)
        sys.stdout.write(f"{said}: {problem or 'intact'}\n")
    return 1 if failed else 0


def verify(path: Path, *, ends: dict[str, tuple[int, str]]) -> tuple[str, str]:
    """Return what was looked at and what is wrong with it, or the empty string."""
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tenant = manifest["tenant"] or "(site)"
    said = f"{tenant} entries {manifest['first']} to {manifest['last']}"
    if manifest["format"] != FORMAT:
        return said, f"is of format {manifest['format']}, not {FORMAT}"
    before = (manifest["first"] - 1, manifest["prev_hash"])
    if before[0] == 0 and before[1] != GENESIS:
        return said, "does not begin the chain it says it begins"
    if tenant in ends and ends[tenant] != before:
        return said, f"does not continue entry {ends[tenant][0]} of the export before it"
    end, problem = _walk(path.with_suffix(".ndjson"), manifest=manifest, place=before)
    ends[tenant] = end
    if not problem and end != (manifest["last"], manifest["last_hash"]):
        problem = f"ends at entry {end[0]}, the manifest says {manifest['last']}"
    return said, problem


def _walk(
    lines: Path, *, manifest: dict[str, Any], place: tuple[int, str]
) -> tuple[tuple[int, str], str]:
    """Follow the lines from `place`; return where they lead and what stopped them."""
    whole = hashlib.sha256()
    with lines.open("rb") as stream:
        for line in stream:
            whole.update(line)
            entry = json.loads(line)
            problem = _problem_at(place, entry, tenant=manifest["tenant"])
            if problem:
                return place, f"entry {place[0] + 1} {problem}"
            place = (entry["seq"], entry["hash"])
    if whole.hexdigest() != manifest["sha256"]:
        return place, "the file is not the one the manifest was written for"
    return place, ""


def _problem_at(place: tuple[int, str], entry: dict[str, Any], *, tenant: str) -> str:
    if entry["seq"] != place[0] + 1:
        return f"is missing, next is {entry['seq']}"
    if entry["prev_hash"] != place[1]:
        return "does not continue the entry before it"
    covered = f"{entry['prev_hash']}\n{entry['body']}".encode()
    if hashlib.sha256(covered).hexdigest() != entry["hash"]:
        return "has content that does not match its hash"
    body = json.loads(entry["body"])
    if (body["tenant"], body["seq"]) != (tenant, entry["seq"]):
        return f"belongs to entry {body['seq']} of {body['tenant'] or '(site)'}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
