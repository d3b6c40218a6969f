"""Every kind of host is in every table that names hosts, and in no table that does not know it."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from governance.models import HostKind as StoredHostKind
from reconciliation.services.host_steps import STEPS
from reconciliation.templatetags.hosts import COMPARE_ADDRESSES
from reconciliation.webhooks.blind_spots import blind_spots_of
from reconciliation.webhooks.dialects import DIALECTS
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.signatures import CHECKS

ROOT = Path(__file__).resolve().parents[3]
KINDS = {host.value for host in HostKind}


def documented() -> Collection[str]:
    text = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| ", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} & KINDS


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("kinds of stored repositories and sources", set(StoredHostKind.values)),
        ("dialects", {host.value for host in DIALECTS}),
        ("signature checks", {host.value for host in CHECKS}),
        ("steps to set a webhook up", STEPS.keys()),
        ("addresses of comparisons", COMPARE_ADDRESSES.keys()),
        ("recorded requests", {path.name for path in (ROOT / "tests/payloads").iterdir()}),
        ("docs/webhooks.md", documented()),
    ],
)
def test_every_kind_of_host_is_in_every_table(table: str, named: Collection[str]) -> None:
    assert set(named) == KINDS, table


@pytest.mark.parametrize("host", HostKind)
def test_of_every_kind_of_host_it_is_said_what_it_does_not_announce(host: HostKind) -> None:
    assert blind_spots_of(host)


@pytest.mark.parametrize("host", sorted(COMPARE_ADDRESSES.keys() - {"generic"}))
def test_a_comparison_names_both_commits(host: str) -> None:
    address = COMPARE_ADDRESSES[host].format(
        web="https://git.example/x", old="a" * 40, new="b" * 40
    )

    assert address.startswith("https://git.example/x/")
    assert "a" * 40 in address
    assert "b" * 40 in address
