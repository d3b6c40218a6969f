"""Fixtures of the queue's tests."""

import pytest

from tests.integration.queue.world import Queue


@pytest.fixture
def queue(db: None) -> Queue:
    """Return an empty world at noon. With threads or processes ask for `transactional_db` too."""
    return Queue()
