"""The page on the API names what there is, and nothing that is not."""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

import re
from pathlib import Path

import pytest
from drf_spectacular.generators import SchemaGenerator

from reconciliation.metrics import ReconcilerCollector
from tests.factories.governance import NOON

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
ELSEWHERE = ("audit/", "leases", "policies/", "webhooks/")


@pytest.mark.django_db
def test_every_address_of_this_api_is_on_the_page() -> None:
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    there_is = {
        f"{method.upper()} {path.removeprefix('/api/v1/')}"
        for path, operations in paths.items()
        for method in operations
        if not path.removeprefix("/api/v1/").startswith(ELSEWHERE)
    }

    on_page = set(re.findall(r"`((?:GET|POST) [a-z][^`]*)`", PAGE))

    assert on_page == there_is


@pytest.mark.django_db
def test_every_metric_is_on_the_page() -> None:
    families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in ReconcilerCollector(clock=lambda: NOON).collect()
    }

    assert set(re.findall(r"\| `(reconciler_[a-z_]+)` \|", PAGE)) == families
