"""Exports: verified by a stranger with plain Python, and held against the chain of today."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from tests.integration.audit.trail import record, tamper

pytestmark = pytest.mark.django_db(transaction=True)


def export(folder: Path, *arguments: str) -> list[Path]:
    """Export and return the manifests."""
    out = StringIO()
    call_command("audit_export", str(folder), "--json", *arguments, stdout=out)
    return [Path(path) for path in json.loads(out.getvalue())["manifests"]]


def verify_offline(folder: Path, *manifests: Path) -> tuple[int, list[str]]:
    """Run the exported verifier as a stranger would: no packages, no project, another folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", folder / "verify_export.py", *manifests],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def verify_here(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("audit_verify", *arguments, stdout=out)
    except SystemExit as left:
        return int(left.code or 0), out.getvalue()
    return 0, out.getvalue()


def rewrite(path: Path, line: int, **changes: Any) -> None:
    """Change one line of an export."""
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[line].update(changes)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))


def test_an_export_of_every_chain_is_verified_without_us(tmp_path: Path) -> None:
    record(3, branch="feature/ü")
    record(2, tenant="")

    manifests = export(tmp_path / "out")

    assert [path.name for path in manifests] == [
        "audit-_site-000000000001-000000000002.json",
        "audit-acme-000000000001-000000000003.json",
    ]
    assert verify_offline(tmp_path / "out", *manifests) == (
        0,
        ["(site) entries 1 to 2: intact", "acme entries 1 to 3: intact"],
    )


def test_an_export_is_itself_on_record_and_the_next_one_continues_it(tmp_path: Path) -> None:
    record(3)

    first = export(tmp_path, "--tenant", "acme")
    second = export(tmp_path, "--tenant", "acme", "--after", "3")

    recorded = AuditEntry.objects.get(seq=4)
    assert (recorded.action, recorded.object_id) == ("audit.export", "1..3")
    assert verify_offline(tmp_path, *first, *second) == (
        0,
        ["acme entries 1 to 3: intact", "acme entries 4 to 4: intact"],
    )
    code, said = verify_offline(tmp_path, *second, *first)
    assert (code, said[1]) == (
        1,
        "acme entries 1 to 3: does not continue entry 4 of the export before it",
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"body": "{}"}, "entry 2 has content that does not match its hash"),
        ({"prev_hash": "f" * 64}, "entry 2 does not continue the entry before it"),
        ({"seq": 7}, "entry 2 is missing, next is 7"),
        ({"note": "harmless?"}, "the file is not the one the manifest was written for"),
    ],
)
def test_a_changed_line_is_found_at_its_entry(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    record(3)
    manifest = export(tmp_path)[0]

    rewrite(manifest.with_suffix(".ndjson"), 1, **changes)

    assert verify_offline(tmp_path, manifest) == (1, [f"acme entries 1 to 3: {problem}"])


def test_lines_cut_off_at_the_end_are_found(tmp_path: Path) -> None:
    record(3)
    manifest = export(tmp_path)[0]
    lines = manifest.with_suffix(".ndjson")

    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:2]))

    code, said = verify_offline(tmp_path, manifest)
    assert code == 1
    assert "the file is not the one" in said[0]


def test_a_broken_chain_is_exported_as_it_is(tmp_path: Path) -> None:
    record(3)
    tamper("UPDATE audit_auditentry SET body = replace(body, 'thing 1', 'thing 9') WHERE seq = 2")

    manifest = export(tmp_path)[0]

    assert verify_offline(tmp_path, manifest) == (
        1,
        ["acme entries 1 to 3: entry 2 has content that does not match its hash"],
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "v9"}'])
def test_something_else_than_a_manifest_is_said_to_be_that(tmp_path: Path, content: str) -> None:
    record(1)
    export(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(content)

    code, said = verify_offline(tmp_path, other)

    assert code == 1
    assert "cannot be read" in said[0]


def test_a_chain_whose_end_and_head_were_cut_off_contradicts_its_export(tmp_path: Path) -> None:
    record(5)
    manifest = export(tmp_path)[0]
    tamper("DELETE FROM audit_auditentry WHERE seq > 3")
    tamper(
        "UPDATE audit_chainhead SET seq = 3,"
        " hash = (SELECT hash FROM audit_auditentry WHERE seq = 3)"
    )
    assert verify_here()[0] == 0  # by itself the chain cannot tell

    code, said = verify_here("--manifest", str(manifest))

    assert code == 1
    assert "acme: CONTRADICTED: entry 5 was exported and is gone" in said


def test_a_chain_that_was_rewritten_contradicts_its_export(tmp_path: Path) -> None:
    record(2)
    manifest = export(tmp_path)[0]
    tamper("UPDATE audit_auditentry SET hash = prev_hash WHERE seq = 2")

    code, said = verify_here("--json", "--manifest", str(manifest))

    assert code == 1
    assert json.loads(said)["contradictions"] == [
        {"tenant": "acme", "seq": 2, "problem": "entry 2 is not the one that was exported"}
    ]


def test_a_chain_that_only_grew_agrees_with_its_export(tmp_path: Path) -> None:
    record(2)
    manifest = export(tmp_path)[0]
    record(5)

    assert verify_here("--manifest", str(manifest))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tenant", "acne"], "acne has no entries behind entry 0"),
        (["--tenant", "acme", "--after", "9"], "acme has no entries behind entry 9"),
        (["--after", "1"], "--after needs --tenant"),
    ],
)
def test_an_export_of_nothing_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    record(1)

    with pytest.raises(CommandError, match=said):
        call_command("audit_export", str(tmp_path / "out"), *arguments)

    assert not (tmp_path / "out").exists()
