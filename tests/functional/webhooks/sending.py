"""Sends requests to a webhook source as hosts do."""

from typing import Any

from django.test import Client

from reconciliation.models import WebhookSource
from tests.factories.webhooks import github_headers, push_body


def post(
    source: WebhookSource,
    body: bytes,
    headers: dict[str, str],
    *,
    slash: str = "",
    content_type: str = "application/json",
    **extra: Any,
) -> Any:
    """Send one request to the source's address."""
    return Client().post(
        f"/api/v1/webhooks/{source.token}{slash}",
        data=body,
        content_type=content_type,
        headers=headers,
        **extra,
    )


def push(
    source: WebhookSource,
    before: str,
    after: str,
    *,
    delivery: str,
    branch: str = "main",
    repository_id: int = 7,
) -> Any:
    """Send a signed push as GitHub does."""
    body = push_body(branch, before, after, repository_id=repository_id)
    return post(source, body, github_headers(body, delivery=delivery))
