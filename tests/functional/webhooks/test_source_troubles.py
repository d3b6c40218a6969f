"""A source that is not heard speaks up: refused signatures, stale clocks, old secrets."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.domain.entries import RECONCILER
from audit.services import verify
from governance.models import Repository
from reconciliation.models import Alert, Finding, WebhookDelivery, WebhookSecret, WebhookSource
from reconciliation.services.sources import create_source, forget_cached_sources, rotate_secret
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C
from tests.factories.webhooks import SECRET, github_headers, push_body, webhook_source
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db


def test_refused_signatures_raise_one_alert_that_a_verified_delivery_resolves(
    source: WebhookSource,
) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    for _ in range(5):
        post(source, body, github_headers(body, secret="wrong"))
    alert = Alert.objects.get()
    assert (alert.state, alert.severity) == ("open", "high")
    assert "mismatch" in alert.finding.summary

    push(source, HEAD_A, HEAD_B, delivery="good")

    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_rotation_loses_nothing_and_the_old_secret_ends_with_an_alert(
    source: WebhookSource,
) -> None:
    now = timezone.now()
    rotate_secret(
        source,
        secret="the new one",
        overlap=timedelta(hours=1),
        actor=RECONCILER,
        correlation_id="test-correlation-id",
        now=now,
    )
    body = push_body("main", HEAD_A, HEAD_B)

    during = post(source, body, github_headers(body, delivery="old, in the overlap"))
    new = post(source, body, github_headers(body, delivery="new", secret="the new one"))
    WebhookSecret.objects.filter(expires_at__isnull=False).update(expires_at=now)
    forget_cached_sources()
    after = post(source, body, github_headers(body, delivery="old, too late"))

    assert (during.status_code, new.status_code) == (202, 202)
    assert (after.status_code, after.json()["code"]) == (401, "expired_secret")
    assert Alert.objects.get().finding.stable_class == "old_secret_in_use"
    used = WebhookDelivery.objects.values_list("secret_id", flat=True)
    assert len(set(used)) == 2


def refuse_one(source: WebhookSource, *, number: int = 0) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    post(source, body, github_headers(body, secret="wrong", delivery=f"refused-{number}"))


def test_refusals_that_go_on_after_a_good_delivery_reopen_the_alert_once_a_minute_at_most(
    source: WebhookSource,
) -> None:
    for number in range(3):
        refuse_one(source, number=number)
        push(source, HEAD_A, HEAD_B, delivery=f"good-{number}")
    flips = Finding.objects.get().reopened_count
    Finding.objects.update(opened_at=timezone.now() - timedelta(minutes=2))

    refuse_one(source)

    assert flips == 0
    assert Finding.objects.get().reopened_count == 1
    assert Alert.objects.get().state == "open"


def test_a_stale_timestamp_is_as_deaf_as_a_wrong_secret(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="generic", secret=f"whsec_{'A' * 43}=")
    headers = {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(timezone.now().timestamp()) - 301),
        "webhook-signature": f"v1,{'A' * 43}=",
    }

    answer = post(source, b"{}", headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "stale_timestamp")
    assert "stale timestamp" in Alert.objects.get().finding.summary


def test_an_organisations_source_alerts_on_a_repository_that_it_serves(
    tenant_world: World,
) -> None:
    forget_cached_sources()
    tenant = tenant_world.tenant
    source = create_source(
        tenant_id=tenant.pk,
        tenant=tenant.slug,
        repository_id=None,
        host_kind="github",
        name="all of acme",
        token="t" * 43,
        secret=SECRET,
        actor=RECONCILER,
        correlation_id="test-correlation-id",
        now=timezone.now(),
    )
    refuse_one(source)
    alert = Alert.objects.get()
    assert (alert.repository_id, alert.state) == (tenant_world.repository.pk, "open")
    body = push_body("main", HEAD_A, HEAD_C)

    post(source, body, github_headers(body))

    assert Alert.objects.get().state == "resolved"


def test_an_old_secret_is_forgiven_when_the_host_signs_with_the_new_one(
    source: WebhookSource,
) -> None:
    now = timezone.now()
    rotate_secret(
        source,
        secret="the new one",
        overlap=timedelta(hours=1),
        actor=RECONCILER,
        correlation_id="test-correlation-id",
        now=now,
    )
    WebhookSecret.objects.filter(expires_at__isnull=False).update(expires_at=now)
    body = push_body("main", HEAD_A, HEAD_B)
    for number in range(3):
        post(source, body, github_headers(body, delivery=f"old-{number}"))
    assert (Alert.objects.get().state, Finding.objects.get().reopened_count) == ("open", 0)

    post(source, body, github_headers(body, delivery="new", secret="the new one"))

    assert Alert.objects.get().state == "resolved"
    assert verify("acme") is None


def test_a_request_of_another_kind_of_host_is_told_so(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = Client().post(
        f"/api/v1/webhooks/{source.token}",
        data=body,
        content_type="application/json",
        headers={"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET},
    )

    assert answer.status_code == 401
    assert "looks like one of gitlab; this source is for github" in answer.json()["detail"]


def test_a_source_is_unheard_also_when_its_repository_is_gone(source: WebhookSource) -> None:
    Repository.objects.filter(webhook_sources=source).update(is_active=False)

    refuse_one(source)

    assert Alert.objects.count() == 1
    assert not WebhookDelivery.objects.exists()
