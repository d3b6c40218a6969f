"""Makes webhook sources and signed requests for tests, as hosts sign them."""

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from audit.domain.entries import RECONCILER
from governance.models import Repository
from reconciliation.models import WebhookSource
from reconciliation.services.sources import create_source, forget_cached_sources
from tests.factories.governance import CORRELATION_ID, NOON

SECRET = "a secret of the tests"
ZERO = "0" * 40


def webhook_source(
    repository: Repository, *, host: str = "github", secret: str = SECRET, now: datetime = NOON
) -> WebhookSource:
    """Store a source of one repository with one live secret.

    As after connecting, the host's id of the repository is not known: the first delivery tells it.
    """
    forget_cached_sources()
    Repository.objects.filter(pk=repository.pk).update(host_repository_id="")
    return create_source(
        tenant_id=repository.tenant_id,
        tenant=repository.tenant.slug,
        repository_id=repository.pk,
        host_kind=host,
        name="test",
        token=hashlib.sha256(f"{repository.pk} {host}".encode()).hexdigest()[:43],
        secret=secret,
        actor=RECONCILER,
        correlation_id=CORRELATION_ID,
        now=now,
    )


def push_body(
    branch: str,
    before: str,
    after: str,
    *,
    pusher: str = "alice",
    repository_id: int = 7,
    forced: bool | None = None,
) -> bytes:
    """Return the body of a push as GitHub and Gitea shape it; Gitea does not say `forced`."""
    document: dict[str, Any] = {
        "ref": f"refs/heads/{branch}",
        "before": before,
        "after": after,
        "created": before == ZERO,
        "deleted": after == ZERO,
        **({} if forced is None else {"forced": forced}),
        "commits": [],
        "repository": {
            "id": repository_id,
            "full_name": "acme/api",
            "clone_url": "https://git.example/acme/api.git",
            "default_branch": "main",
        },
        "pusher": {"name": pusher, "login": pusher},
        "sender": {"login": pusher},
    }
    return json.dumps(document).encode()


def github_headers(
    body: bytes, *, event: str = "push", delivery: str = "d-1", secret: str = SECRET
) -> dict[str, str]:
    """Return the headers that GitHub sends with a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def gitea_headers(
    body: bytes, *, event: str = "push", delivery: str = "d-1", secret: str = SECRET
) -> dict[str, str]:
    """Return the headers that Gitea sends with a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "X-Gitea-Event": event,
        "X-Gitea-Delivery": delivery,
        "X-Gitea-Signature": digest,
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
