"""Branch names, pushers and reasons may be anything: pages open, links work, nothing runs."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from governance.models import Branch
from tests.factories.governance import HEAD_B, BranchFactory, RepositoryFactory, TenantFactory
from tests.functional.pages.rows import alert_on, finding_on, task_on, watch_of

pytestmark = pytest.mark.django_db

ODD_NAMES = (
    "main",
    "feature/a/b/c",
    "100%-done",
    "%2F",
    "%252e%252e/x",
    "ünïcode/ß-ñ",
    "e\N{COMBINING ACUTE ACCENT}tude",
    "\N{LATIN SMALL LETTER E WITH ACUTE}tude",
    "\N{ROCKET}/\N{HOT BEVERAGE}",
    "semi;colon&amp;and=more",
    "hash#in-name",
    'quote\'s-and-"double"',
    "<script>alert(1)</script>",
    "a+b",
    "branches/branches",
    "{{7*7}}{%debug%}",
    "-leading-dash",
    "x" * 240,
)
HOSTILE = "<img src=x onerror=alert(1)>\"'`</script>"


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def odd_branch(name: str) -> Branch:
    tenant = TenantFactory.create(slug="acme")
    repository = RepositoryFactory.create(tenant=tenant, slug="odd")
    branch = BranchFactory.create(repository=repository, name=name, observed_head=HEAD_B)
    watch_of(branch)
    return branch


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_branch_page_opens_from_the_link_in_its_repository(root: Client, name: str) -> None:
    branch = odd_branch(name)
    finding_on(branch)
    address = reverse("pages:branch", args=("acme", "odd", name))

    listed = root.get("/repositories/acme/odd")
    opened = root.get(address)

    assert f'href="{address}"'.replace("&", "&amp;").replace("'", "&#x27;") in (
        listed.content.decode()
    )
    assert opened.status_code == 200
    assert opened.context["seen"].branch == branch


def test_names_that_look_alike_are_different_branches(root: Client) -> None:
    composed = odd_branch("\N{LATIN SMALL LETTER E WITH ACUTE}")
    split = BranchFactory.create(repository=composed.repository, name="e\N{COMBINING ACUTE ACCENT}")

    for branch in (composed, split):
        address = reverse("pages:branch", args=("acme", "odd", branch.name))
        assert root.get(address).context["seen"].branch == branch


def test_a_branch_that_is_not_there_is_not_found(root: Client) -> None:
    odd_branch("main")

    assert root.get("/repositories/acme/odd/branches/nope").status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/alerts/99999999999999999999",
        "/tasks/99999999999999999999",
        "/sweeps/99999999999999999999",
        "/trace/%00",
        "/alerts?after=_&state=%00&tenant=%00",
        "/alerts?after=9_2026-01-01T00:00:00+00:00_99999999999999999999",
        "/tasks?after=99999999999999999999&state=all",
        "/findings?after=9_99999999999999999999",
        "/repositories?after=%00/%00&q=%00",
        "/repositories/acme/odd?after=%00&q=%00",
        "/sweeps?after=99999999999999999999",
        "/find?q=%23999999999999999999999",
        "/find?q=%00",
    ],
)
def test_made_up_addresses_are_answered_calmly(root: Client, address: str) -> None:
    odd_branch("main")

    assert root.get(address).status_code in (200, 302, 400, 404)


def test_nothing_that_strangers_can_write_becomes_markup(root: Client) -> None:
    branch = odd_branch(HOSTILE)
    Branch.objects.filter(pk=branch.pk).update(pusher=HOSTILE, governed_by=f"user:{HOSTILE}")
    finding = finding_on(
        branch,
        summary=HOSTILE,
        recommendation=HOSTILE,
        command=HOSTILE,
        stable_class="<b>x</b>",
        rule_hits=[{"rule": HOSTILE, "weight": 95, "inputs": [[HOSTILE, HOSTILE]]}],
        actual={HOSTILE: HOSTILE},
    )
    alert = alert_on(
        branch,
        finding=finding,
        state="acknowledged",
        acknowledged_as=HOSTILE,
        acknowledge_reason=HOSTILE,
        escalation_ladder=[{"role": HOSTILE, "after_seconds": 60}],
    )
    task = task_on(
        branch,
        state="dead",
        last_error=HOSTILE,
        last_error_code="<b>x</b>",
        correlation_id="trace-hostile",
    )
    pages = [
        "/",
        "/alerts",
        "/findings",
        f"/alerts/{alert.pk}",
        "/repositories/acme/odd",
        reverse("pages:branch", args=("acme", "odd", HOSTILE)),
        "/tasks?state=dead",
        f"/tasks/{task.pk}",
        "/trace/trace-hostile",
        f"/repositories?q={HOSTILE}",
        f"/admin/reconciliation/alert/{alert.pk}/change/",
        f"/admin/reconciliation/finding/{finding.pk}/change/",
        f"/admin/governance/branch/{branch.pk}/change/",
    ]

    for address in pages:
        text = root.get(address).content.decode()
        assert HOSTILE not in text, address
        assert "<img src=x" not in text, address
        assert "<b>x</b>" not in text, address


def test_pages_hold_no_inline_script_or_style(root: Client) -> None:
    branch = odd_branch("main")
    alert = alert_on(branch)

    for address in ("/", "/alerts", f"/alerts/{alert.pk}", "/repositories/acme/odd", "/tasks"):
        text = root.get(address).content.decode()
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == [], address
        assert re.findall(r"<script(?![^>]*\ssrc=)", text) == [], address
