"""Every page, narrow and wide, light and dark: readable, no sideways scroll, nothing inline."""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage
from pytest_django.live_server_helper import LiveServer

from reconciliation.models import ReconciliationTask
from scripts.screenshots import Picture, log_in, new_context
from tests.factories.story import PASSWORD, Story

pytestmark = pytest.mark.browser

AUDIT = (Path(__file__).parent / "audit_page.js").read_text(encoding="utf-8")
ODD = quote("feature/ünïcode-100%-ready/ß")


def pictures_of(story: Story) -> list[Picture]:
    branches = "/repositories/acme/billing-api/branches"
    return [
        Picture("overview", "/"),
        Picture("alerts", "/alerts"),
        Picture("alert-open", f"/alerts/{story.alerts['open'].pk}"),
        Picture("alert-acknowledged", f"/alerts/{story.alerts['acknowledged'].pk}"),
        Picture("alert-resolved", f"/alerts/{story.alerts['resolved'].pk}"),
        Picture("findings", "/findings"),
        Picture("repositories", "/repositories"),
        Picture("repository", "/repositories/acme/billing-api"),
        Picture("repository-unreadable", "/repositories/cinder/asset-pipeline"),
        Picture("branch-drifted", f"{branches}/main"),
        Picture("branch-coherent", f"{branches}/release/2026.02"),
        Picture("branch-odd-name", f"/repositories/acme/infra/branches/{ODD}"),
        Picture("trace", f"/trace/{story.trace}"),
        Picture("tasks", "/tasks"),
        Picture("dead-letters", "/tasks?state=dead"),
        Picture("task", f"/tasks/{ReconciliationTask.objects.earliest('pk').pk}"),
        Picture("sweeps", "/sweeps"),
        Picture("sweep-planner", "/sweeps/planner"),
        Picture("sweep", f"/sweeps/{story.sweeps[-1].pk}"),
        Picture("not-found", "/alerts/999999"),
        Picture("admin", "/admin/"),
        Picture("admin-alerts", "/admin/reconciliation/alert/"),
        Picture("admin-alert", f"/admin/reconciliation/alert/{story.alerts['open'].pk}/change/"),
        Picture("admin-credential", "/admin/governance/remotecredential/add/"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_page_is_readable_and_fits(
    browser: Browser,
    live_server: LiveServer,
    story: Story,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    keep = os.environ.get("SCREENSHOT_DIR", "")
    context = new_context(browser, width=width, scheme=scheme)
    log_in(context, base=live_server.url, user="root", password=PASSWORD)
    page = context.new_page()
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # A page that does not exist is one of the pages: its status is no complaint.
        if message.type in {"error", "warning"} and "404 (Not Found)" not in message.text:
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    problems: dict[str, list[str]] = {}
    for picture in pictures_of(story):
        page.goto(live_server.url + picture.path, wait_until="load")
        found = page.evaluate(AUDIT) + complaints
        complaints.clear()
        if found:
            problems[picture.name] = found
        if keep:
            target = Path(keep) / f"{picture.name}-{width}-{scheme}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target, full_page=True)
    context.close()

    assert problems == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_what_people_without_a_membership_or_a_login_see_is_readable_too(
    browser: Browser,
    live_server: LiveServer,
    story: Story,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    keep = os.environ.get("SCREENSHOT_DIR", "")
    context = new_context(browser, width=width, scheme=scheme)
    page = context.new_page()
    found = {}
    for name, address in (
        ("log-in", "/admin/login/"),
        ("no-membership", "/"),
        ("refused", "/admin/reconciliation/sweep/"),
    ):
        if name == "no-membership":
            log_in(context, base=live_server.url, user="nina", password=PASSWORD)
        page.goto(live_server.url + address, wait_until="load")
        found[name] = page.evaluate(AUDIT)
        if keep:
            page.screenshot(path=Path(keep) / f"{name}-{width}-{scheme}.png", full_page=True)
    context.close()

    assert found == {"log-in": [], "no-membership": [], "refused": []}
