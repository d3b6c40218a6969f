"""The policy pages in a real browser, narrow and wide, light and dark: from a list to a result."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit.domain.entries import Actor, ActorKind
from scripts.screenshots import log_in, new_context
from tests.factories.story import PASSWORD, Story
from tests.integration.policy.acts import publish
from tests.integration.policy.history import decide_and_store, occasions

pytestmark = pytest.mark.browser

AUDIT = (Path(__file__).parent / "audit_page.js").read_text(encoding="utf-8")
BOB = Actor(ActorKind.USER, "bob")
DRAFT = """\
branches:
  protected: ["release/*", main]
  governed: [topic]
head_drift: {settle_seconds: 0}
rules:
  drift.not_lease_holder: {mode: observe}
  stale.idle_unmerged: {weight: 75}
"""


@pytest.fixture
def governed(story: Story) -> Story:
    """Publish some layers, and decide a few hundred times in acme."""
    for layer, target, pattern, text in (
        ("site", "", "", "head_drift: {settle_seconds: 30}\nfloors: [head_drift.settle_seconds]"),
        ("tenant", "acme", "", "stale_branch: {idle_days: 30}\nfloors: [stale_branch.idle_days]"),
        ("tenant", "acme", "", "stale_branch: {idle_days: 60}"),
        ("branch", "acme/main/billing-api", "release/**", "head_drift: {settle_seconds: 20}"),
    ):
        publish(text, layer, target, pattern=pattern, approved_by=BOB, now=story.now)
    found = [row for name, row in story.repositories.items() if name.startswith("acme/")]
    until = story.now - timedelta(minutes=1)
    decide_and_store(occasions(found, number=400, seed=5, until=until))
    return story


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_from_the_layers_in_force_to_what_a_draft_would_change(
    browser: Browser,
    live_server: LiveServer,
    governed: Story,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = new_context(browser, width=width, scheme=scheme)
    log_in(context, base=live_server.url, user="root", password=PASSWORD)
    page = context.new_page()
    problems: dict[str, list[str]] = {}

    def look(name: str) -> None:
        if found := page.evaluate(AUDIT):
            problems[name] = found
        _keep(page, f"{name}-{width}-{scheme}")

    page.goto(f"{live_server.url}/policies")
    look("policies")
    page.get_by_role("link", name="acme", exact=True).click()
    expect(page.get_by_role("heading", name="acme", exact=True)).to_be_visible()
    look("policy-layer")
    page.get_by_role("link", name="Simulate a change").click()
    expect(page.get_by_label("Draft")).to_have_value("stale_branch:\n  idle_days: 60\n")
    page.get_by_label("Draft").fill("rules: {drift.nothing: {weight: 5}}")
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_text("there is no such rule")).to_be_visible()
    look("policy-refused")
    page.get_by_label("Draft").fill(DRAFT)
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("heading", name="What tenant acme would have changed")).to_be_visible()
    look("policy-simulated")
    page.goto(f"{live_server.url}/repositories/acme/billing-api/branches/release/2026.02")
    page.get_by_role("link", name="which policy holds").click()
    expect(page.get_by_text("floor 30 of site v1")).to_be_visible()
    look("policy-explained")
    context.close()

    assert problems == {}


def _keep(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOT_DIR", ""):
        target = Path(folder) / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target, full_page=True)
