"""What people do on pages, with scripts and without."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from reconciliation.models import Alert, AlertState
from scripts.screenshots import log_in, new_context
from tests.factories.story import PASSWORD, Story

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, story: Story) -> Iterator[Page]:
    context = new_context(browser, width=1440, scheme="light")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_in(context, base=live_server.url, user="root", password=PASSWORD)
    yield context.new_page()
    context.close()


def test_without_scripts_a_refused_form_keeps_what_was_typed_and_a_good_one_acknowledges(
    browser: Browser, live_server: LiveServer, story: Story
) -> None:
    context = browser.new_context(java_script_enabled=False)
    log_in(context, base=live_server.url, user="olga", password=PASSWORD)
    page = context.new_page()
    alert = story.alerts["open"]
    page.goto(f"{live_server.url}/alerts/{alert.pk}")

    page.get_by_label("Reason").first.fill("too short")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.get_by_role("alert")).to_contain_text("at least 10 characters")
    expect(page.get_by_label("Reason").first).to_have_value("too short")
    assert Alert.objects.get(pk=alert.pk).state == AlertState.OPEN

    page.get_by_label("Reason").first.fill("Carol is restoring the branch now.")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.get_by_role("status")).to_contain_text("Acknowledged")
    expect(page.get_by_role("heading", name="olga has it")).to_be_visible()
    assert Alert.objects.get(pk=alert.pk).state == AlertState.ACKNOWLEDGED
    context.close()


def test_the_overview_refreshes_itself_every_fifteen_seconds(
    page: Page, live_server: LiveServer, story: Story
) -> None:
    page.clock.install()
    page.goto(live_server.url)
    tile = page.locator(".tile", has_text="Unacknowledged").locator(".value")
    expect(tile).to_have_text("5")

    Alert.objects.filter(pk=story.alerts["open"].pk).update(state=AlertState.ACKNOWLEDGED)
    page.clock.run_for(16_000)

    expect(tile).to_have_text("4")


def test_a_refresh_that_fails_says_so_and_keeps_the_last_picture(
    page: Page, live_server: LiveServer
) -> None:
    page.clock.install()
    page.goto(live_server.url)
    page.route("**/*", lambda route: route.abort())

    page.clock.run_for(16_000)

    expect(page.locator("[data-live-word]")).to_contain_text("could not refresh")
    expect(page.locator(".tile", has_text="Unacknowledged")).to_be_visible()


def test_ages_grow_while_the_page_is_open(page: Page, live_server: LiveServer) -> None:
    page.clock.install()
    page.goto(f"{live_server.url}/sweeps")
    first = page.locator("time").first
    before = first.inner_text()

    page.route("**/*", lambda route: route.abort())
    page.clock.run_for(600_000)

    assert first.inner_text() != before
    assert first.get_attribute("title").endswith(" UTC")  # type: ignore[union-attr]  # every age has one


def test_a_commit_is_copied_whole(page: Page, live_server: LiveServer, story: Story) -> None:
    page.goto(f"{live_server.url}/alerts/{story.alerts['open'].pk}")

    page.locator(".matrix [data-copy]").first.click()

    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert len(copied) == 40


def test_the_colours_can_be_turned_over_and_stay_so(page: Page, live_server: LiveServer) -> None:
    page.goto(live_server.url)

    page.locator(".theme-toggle").click()
    page.goto(f"{live_server.url}/admin/")

    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_keys_reach_the_search_and_the_acknowledgement(
    page: Page, live_server: LiveServer, story: Story
) -> None:
    page.goto(f"{live_server.url}/alerts/{story.alerts['open'].pk}")

    page.keyboard.press("s")
    expect(page.get_by_role("button", name="Snooze")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("ledger")
    page.keyboard.press("Enter")

    expect(page.get_by_role("link", name="acme/ledger")).to_be_visible()
