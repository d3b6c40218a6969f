"""Real requests of real hosts, sent through the whole receiver; runs where the recordings are."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from reconciliation.models import WebhookDelivery
from tests.conftest import World
from tests.factories.webhooks import webhook_source

RECORDED = Path(
    os.environ.get(
        "RECORDED_REQUESTS", Path(__file__).resolve().parents[4] / "shared" / "data" / "payloads"
    )
)
HOSTS = {"pagure": "generic"}


def cases() -> list[Any]:
    found = []
    for manifest in sorted(RECORDED.glob("*/MANIFEST.json")):
        for case in json.loads(manifest.read_text())["cases"]:
            name = f"{manifest.parent.name}/{case['file']}"
            found.append(pytest.param(manifest.parent, case, id=name))
    return found or [pytest.param(None, None, marks=pytest.mark.skip("no recordings here"))]


@pytest.mark.django_db
@pytest.mark.parametrize(("folder", "case"), cases())
def test_a_recorded_request_is_answered_as_its_manifest_says(
    folder: Path, case: dict[str, Any], tenant_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HOSTS.get(case["host"], case["host"])
    secret = case["secret"] or "none"
    if host == "azure" and secret.startswith("basic: "):
        secret = secret.removeprefix("basic: ").replace(" / ", ":")
    source = webhook_source(tenant_world.repository, host=host, secret=secret)
    at = case.get("expected", {}).get("evaluate_at_unix") or case.get("evaluate_at_unix")
    if at:
        moment = datetime.fromtimestamp(at, UTC)
        monkeypatch.setattr(timezone, "now", lambda: moment)
    sent = json.loads((folder / case["headers_file"]).read_text())
    headers = {
        name: value
        for name, value in sent["headers"]
        if name.lower() not in {"host", "content-length", "content-type"}
    }
    content_type = next(
        (value for name, value in sent["headers"] if name.lower() == "content-type"),
        "application/json",
    )
    body = (folder / case["file"]).read_bytes()

    answer = Client().post(
        f"/api/v1/webhooks/{source.token}", data=body, content_type=content_type, headers=headers
    )

    want = case["expected"]
    if want["outcome"] in {"accepted", "ignored"}:
        assert answer.status_code == 202, answer.json()
        kept = WebhookDelivery.objects.get()
        asks_for_work = want["outcome"] == "accepted" and answer.json()["task"] is not None
        assert kept.outcome == ("accepted" if asks_for_work else "ignored")
    else:
        assert answer.status_code in (want.get("http_any_of") or range(400, 500))
        assert not WebhookDelivery.objects.exists()
