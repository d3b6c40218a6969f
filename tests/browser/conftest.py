"""A browser, a site and a story for it; the same for every test here."""

import os
from collections.abc import Iterator

import pytest
from django.utils import timezone
from playwright.sync_api import Browser

from scripts.screenshots import NoBrowser, chromium_path, open_browser
from tests.factories.story import Story, build_story


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return one browser for the whole run; without one on the machine, skip and say how."""
    try:
        chromium_path()
    except NoBrowser as error:
        pytest.skip(str(error))
    # The browser's driver runs an event loop in this thread; Django would take us for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with open_browser() as opened:
        yield opened


@pytest.fixture
def story(transactional_db: None) -> Story:
    """Return the story as of now: browsers have clocks of their own."""
    return build_story(now=timezone.now())
