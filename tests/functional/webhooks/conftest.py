"""Fixtures of the receiver's tests."""

import pytest

from reconciliation.models import WebhookSource
from tests.conftest import World
from tests.factories.webhooks import webhook_source


@pytest.fixture
def source(tenant_world: World) -> WebhookSource:
    """Return the GitHub source of acme/main/api."""
    return webhook_source(tenant_world.repository)
