"""The page about webhooks names a test for each thing that hosts do, and there is such a test."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def test_every_test_named_on_the_page_exists() -> None:
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    rows = page.partition("## What hosts do")[2].splitlines()

    named = [NAMED.findall(row) for row in rows if row.startswith("| ")][2:]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for source in sources for name in DEFINED.findall(source)}

    assert len(named) > 40
    assert all(named)
    assert {name for names in named for name in names} - defined == set()
