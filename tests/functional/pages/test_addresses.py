"""What the address of a page asks for is understood or refused: no filter is passed over."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from reconciliation.urls import pages
from tests.conftest import World
from tests.factories.reconciliation import SweepFactory, TaskFactory

LISTS = ("/alerts", "/findings", "/repositories", "/tasks", "/sweeps", "/sweeps/planner")
PLACES = {"tenant": "acme", "repo": "api", "name": "main", "correlation_id": "some-trace-id"}


@pytest.fixture
def root(tenant_world: World) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/alerts?stat=open", "This page takes no 'stat'. Did you mean 'state'?"),
        ("/alerts?severity=hihg", "severity: there is no 'hihg'. Did you mean 'high'?"),
        ("/alerts?state=open&state=resolved", "'state' is given twice."),
        ("/findings?check=head_drif", "Did you mean 'head_drift'?"),
        ("/findings?stable_class=rewound", "This page takes no 'stable_class'."),
        ("/tasks?state=gone", "state: there is no 'gone'."),
        ("/tasks?kind=stale", "Did you mean 'stale_branch'?"),
        ("/repositories?failing=yes", "failing: 'yes' is neither 1 nor 0."),
        ("/repositories/acme/api?class=protect", "Did you mean 'protected'?"),
        ("/sweeps/1?from=start", "from: 'start' is no number."),
        ("/policies/layer?layer=galaxy", "layer: there is no 'galaxy'."),
        ("/policies/layer?layer=site&before=x", "before: 'x' is no number."),
        ("/alerts?page=2", "This page takes no 'page'."),
        ("/?tenant=acme", "This page takes no 'tenant'."),
        (f"/repositories?q={'x' * 60_000}", "q has more than 8000 characters."),
    ],
)
def test_a_page_says_what_of_its_address_it_does_not_understand(
    root: Client, address: str, words: str
) -> None:
    SweepFactory.create()

    answer = root.get(address)

    assert answer.status_code == 400
    assert words in text_of(answer)
    assert f'href="{address.partition("?")[0]}"' in text_of(answer)


@pytest.mark.parametrize("view", pages, ids=lambda page: str(page.name))
def test_no_page_passes_over_a_parameter_that_it_does_not_take(root: Client, view: Any) -> None:
    kwargs = {key: PLACES.get(key, 1) for key in view.pattern.converters}
    address = reverse(f"pages:{view.name}", kwargs=kwargs)

    answers = [root.get(f"{address}?no_such=1"), root.post(f"{address}?no_such=1")]

    # One of the two methods is the page's; the other is not allowed.
    assert sorted({answer.status_code for answer in answers}) in ([400], [400, 405])


@pytest.mark.parametrize("address", LISTS)
@pytest.mark.parametrize("cursor", ["1", "x", "4_2026-01-01T00:00:00+00:00_1", "acme/api", "é"])
def test_a_made_up_cursor_is_refused(root: Client, address: str, cursor: str) -> None:
    answer = root.get(address, {"after": cursor})

    assert answer.status_code == 400
    assert "did not give that cursor" in text_of(answer)


def test_a_cursor_of_one_list_does_not_fit_another(root: Client, tenant_world: World) -> None:
    for _ in range(51):
        TaskFactory.create(repository=tenant_world.repository)
    after = root.get("/tasks?state=all").context["page"].after

    assert root.get("/tasks", {"state": "all", "after": after}).status_code == 200
    assert root.get("/sweeps", {"after": after}).status_code == 400


@pytest.mark.parametrize("added", ["utm_source=mail", "utm_campaign=a&fbclid=b", "gclid=1"])
def test_what_mailers_add_to_links_narrows_nothing_and_is_let_be(root: Client, added: str) -> None:
    assert root.get(f"/alerts?state=open&{added}").status_code == 200


@pytest.mark.parametrize("address", [*LISTS, "/repositories/acme/api"])
def test_what_a_form_sends_empty_is_no_filter(root: Client, address: str) -> None:
    page = root.get(address)
    names = [
        name
        for name in ("state", "severity", "check", "class", "q", "tenant", "repo", "kind", "error")
        if f'name="{name}"' in page.content.decode().partition("<main")[2]
    ]

    assert root.get(address, dict.fromkeys(names, "")).status_code == 200
