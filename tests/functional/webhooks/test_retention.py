"""Raw bodies are dropped once past their retention, by the tick that runs every minute."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from reconciliation.models import Heartbeat, WebhookDelivery, WebhookSource
from reconciliation.services.installation import tick_here
from reconciliation.services.retention import drop_old_bodies
from tests.factories.governance import CORRELATION_ID, NOON, api_client
from tests.functional.webhooks.sending import push

pytestmark = pytest.mark.django_db

MONTH = timedelta(days=30)


def received(source: WebhookSource, *moments: datetime) -> list[WebhookDelivery]:
    """Store one push for each moment of receipt."""
    begin = WebhookDelivery.objects.count()
    rows = []
    for number, moment in enumerate(moments, start=begin):
        told = push(source, f"{number:040x}", f"{number + 1:040x}", delivery=f"d-{number}").json()
        WebhookDelivery.objects.filter(pk=told["delivery"]).update(received_at=moment)
        rows.append(WebhookDelivery.objects.get(pk=told["delivery"]))
    return rows


def kept() -> list[str]:
    rows = WebhookDelivery.objects.filter(body__isnull=False)
    return list(rows.order_by("id").values_list("delivery_id", flat=True))


def test_a_body_is_dropped_after_its_retention_and_not_before(source: WebhookSource) -> None:
    a_second = timedelta(seconds=1)
    received(source, NOON - MONTH - a_second, NOON - MONTH, NOON - MONTH + a_second)

    assert drop_old_bodies(keep=MONTH, now=NOON) == 1
    assert kept() == ["d-1", "d-2"]


def test_what_it_said_stays_and_can_be_replayed(source: WebhookSource) -> None:
    [row] = received(source, NOON - 2 * MONTH)

    drop_old_bodies(keep=MONTH, now=NOON)

    shown = api_client().get(f"/api/v1/deliveries/{row.pk}").json()
    assert (shown["body_is_kept"], shown["body_sha256"]) == (False, row.body_sha256)
    assert [event["branch"] for event in shown["events"]] == ["main"]
    [would_be] = (
        api_client(["tasks"])
        .post(f"/api/v1/deliveries/{row.pk}/replay", {"dry_run": True}, format="json")
        .json()["deliveries"]
    )
    assert would_be["branches"] == ["main"]


@pytest.mark.parametrize(("days", "left"), [(30, []), (90, ["d-0"])])
def test_the_tick_that_runs_every_minute_applies_the_setting(
    source: WebhookSource, days: int, left: list[str]
) -> None:
    received(source, NOON - timedelta(days=60))

    with override_settings(DELIVERY_BODY_RETENTION_DAYS=days):
        tick_here(correlation_id=CORRELATION_ID, now=NOON)

    assert kept() == left
    assert Heartbeat.objects.get(name="retention").at == NOON


def test_many_are_dropped_batch_by_batch(source: WebhookSource) -> None:
    same = NOON - 2 * MONTH
    received(source, same, same, same, same + timedelta(hours=1), same, NOON)

    assert drop_old_bodies(keep=MONTH, now=NOON, batch=2) == 5
    assert kept() == ["d-5"]


def test_what_was_left_over_is_dropped_by_the_next_call(
    source: WebhookSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciliation.services.retention._MOST_BATCHES", 1)
    received(source, *[NOON - 2 * MONTH] * 3)

    calls = [drop_old_bodies(keep=MONTH, now=NOON, batch=2) for _ in range(3)]

    assert calls == [2, 1, 0]


def test_a_shorter_retention_reaches_back_and_a_longer_one_brings_nothing_back(
    source: WebhookSource,
) -> None:
    received(source, NOON - timedelta(days=40), NOON - timedelta(days=20))
    drop_old_bodies(keep=MONTH, now=NOON)

    drop_old_bodies(keep=2 * MONTH, now=NOON)
    assert kept() == ["d-1"]

    drop_old_bodies(keep=timedelta(days=10), now=NOON)
    assert kept() == []


def test_a_minute_looks_at_what_became_old_since_the_last_one(source: WebhookSource) -> None:
    received(source, NOON - 2 * MONTH)
    drop_old_bodies(keep=MONTH, now=NOON)

    with CaptureQueriesContext(connection) as captured:
        drop_old_bodies(keep=MONTH, now=NOON + timedelta(minutes=1))

    [looked] = [query["sql"] for query in captured if '"body" IS NOT NULL' in query["sql"]]
    assert str((NOON - MONTH).date()) in looked


def test_a_body_that_came_again_is_dropped_the_next_day(source: WebhookSource) -> None:
    [row] = received(source, NOON - 2 * MONTH)
    drop_old_bodies(keep=MONTH, now=NOON)
    WebhookDelivery.objects.filter(pk=row.pk).update(body=b"again")

    assert drop_old_bodies(keep=MONTH, now=NOON + timedelta(hours=1)) == 0
    assert drop_old_bodies(keep=MONTH, now=NOON + timedelta(days=1)) == 1
