"""Every kind of check that makes findings can be filtered by, on pages and over the API alike."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from reconciliation.models import CHECK_KINDS, TaskKind
from tests.conftest import World
from tests.factories.governance import api_client
from tests.factories.reconciliation import AlertFactory, FindingFactory

KINDS = [kind for kind, _ in CHECK_KINDS]


def test_the_list_names_every_task_and_what_watches_hosts_and_sources() -> None:
    assert {*KINDS} == {*TaskKind.values, "circuit", "webhook_source"}


@pytest.fixture
def one_of_each(tenant_world: World) -> None:
    for kind in KINDS:
        finding = FindingFactory.create(
            repository=tenant_world.repository, check_kind=kind, summary=f"About {kind}."
        )
        AlertFactory.create(finding=finding)


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["alerts", "findings"])
def test_a_kind_of_check_narrows_lists_of_pages_and_api_alike(
    address: str, kind: str, tenant_world: World
) -> None:
    client = api_client(["read"], tenant=tenant_world.tenant)
    root = User.objects.create_superuser("root", password="a password of the tests")
    browser = Client()
    browser.force_login(root)

    listed = client.get(f"/api/v1/{address}", {"check_kind": kind})
    page = browser.get(f"/{address}", {"check": kind}).content.decode()

    assert listed.status_code == 200
    assert [row["check_kind"] for row in listed.json()["results"]] == [kind]
    assert [one for one in KINDS if f"About {one}." in page] == [kind]
