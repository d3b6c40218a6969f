"""The story, and people who look at it."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories.story import Story, build_story

AsPerson = Callable[[str], Client]


@pytest.fixture
def story(db: None) -> Story:
    """Return the story as of now: pages read the clock themselves."""
    return build_story(now=timezone.now())


@pytest.fixture
def as_person(story: Story) -> AsPerson:
    """Return a way to browse as one of the story's people."""

    def browse(name: str) -> Client:
        client = Client()
        client.force_login(story.people[name])
        return client

    return browse
