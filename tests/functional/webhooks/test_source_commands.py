"""Sources and keys from the command line: scriptable, secrets shown once, no delivery lost."""

import base64
import hmac
import io
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from audit.models import AuditEntry
from reconciliation.models import WebhookDelivery, WebhookSecret, WebhookSource
from reconciliation.services.sources import forget_cached_sources
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db


def run(command: str, *arguments: str) -> Any:
    out = io.StringIO()
    call_command(command, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def spoken(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def made(tenant_world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what `create` prints for a source of acme/main/api with a secret of our own."""
    forget_cached_sources()
    monkeypatch.setenv("HOOK_SECRET", "from the environment")
    told: dict[str, Any] = run(
        "webhook_source",
        "create",
        "--repository",
        "acme/main/api",
        "--host",
        "github",
        "--secret-env",
        "HOOK_SECRET",
    )
    return told


def deliver(source: WebhookSource, secret: str, *, delivery: str) -> int:
    body = push_body("main", HEAD_A, HEAD_B)
    answer = post(source, body, github_headers(body, secret=secret, delivery=delivery))
    status: int = answer.status_code
    return status


def test_a_source_made_by_command_takes_deliveries_at_the_path_it_prints(
    made: dict[str, Any],
) -> None:
    source = WebhookSource.objects.get()

    assert made["path"] == f"/api/v1/webhooks/{source.token}"
    assert made["url"].endswith(made["path"])
    assert (made["secret"], made["host"], made["repository"]) == (
        "from the environment",
        "github",
        "api",
    )
    assert deliver(source, "from the environment", delivery="d-1") == 202
    assert AuditEntry.objects.get().action == "webhook_source.create"
    assert "from the environment" not in AuditEntry.objects.get().body


def test_without_one_a_secret_is_made_and_shown_this_once(tenant_world: World) -> None:
    told = run("webhook_source", "create", "--tenant", "acme", "--host", "gitea")

    listed = spoken("webhook_source", "list")
    assert len(told["secret"]) >= 32
    assert told["repository"] is None
    assert told["secret"] not in listed
    assert told["secret"] not in json.dumps(run("webhook_source", "list"))


def test_a_secret_is_encrypted_at_rest(made: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM reconciliation_webhooksecret")
        [(stored,)] = cursor.fetchall()

    assert stored.startswith("v1:test:")
    assert "from the environment" not in stored


def test_the_list_narrows_by_repository_and_tenant(made: dict[str, Any]) -> None:
    run("webhook_source", "create", "--tenant", "rival", "--host", "gitea")

    everything = run("webhook_source", "list")["sources"]
    ours = run("webhook_source", "list", "--repository", "acme/main/api")["sources"]
    theirs = run("webhook_source", "list", "--tenant", "rival")["sources"]

    assert (len(everything), len(ours), len(theirs)) == (2, 1, 1)
    assert ours[0]["source"] == made["source"]


def test_a_rotation_overlaps_and_then_the_old_secret_ends(made: dict[str, Any]) -> None:
    source = WebhookSource.objects.get()

    told = run("webhook_source", "rotate", str(made["source"]), "--overlap-hours", "2")
    during = deliver(source, "from the environment", delivery="old")
    new = deliver(source, told["secret"], delivery="new")
    used = set(WebhookDelivery.objects.values_list("secret_id", flat=True))
    WebhookSecret.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    forget_cached_sources()
    after = deliver(source, "from the environment", delivery="too late")

    ends = datetime.fromisoformat(told["older_secrets_end"]) - timezone.now()
    assert timedelta(hours=1, minutes=59) < ends <= timedelta(hours=2)
    assert (during, new, after) == (202, 202, 401)
    assert used == {str(pk) for pk in WebhookSecret.objects.values_list("pk", flat=True)}


def test_an_overlap_of_nothing_ends_the_old_secret_at_once(made: dict[str, Any]) -> None:
    run("webhook_source", "rotate", str(made["source"]), "--overlap-hours", "0")

    assert deliver(WebhookSource.objects.get(), "from the environment", delivery="d") == 401


def test_a_revoked_source_answers_404_and_is_not_rotated(made: dict[str, Any]) -> None:
    told = run("webhook_source", "revoke", str(made["source"]))
    again = run("webhook_source", "revoke", str(made["source"]))

    assert told["revoked_at"] == again["revoked_at"] is not None
    assert deliver(WebhookSource.objects.get(), "from the environment", delivery="d") == 404
    with pytest.raises(CommandError, match="is revoked; make another one"):
        run("webhook_source", "rotate", str(made["source"]))
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == [
        "webhook_source.create",
        "webhook_source.revoke",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "--repository", "acme/main/api"], "--host"),
        (["create", "--repository", "acme/main/web", "--host", "github"], "connect it first"),
        (["create", "--host", "github"], "--repository, or a --tenant"),
        (["create", "--tenant", "nobody", "--host", "github"], "--repository, or a --tenant"),
        (
            ["create", "--tenant", "acme", "--host", "github", "--secret-env", "NOT_SET"],
            "NOT_SET is not set",
        ),
        (
            ["create", "--tenant", "acme", "--host", "github", "--secret-env", "BLANK"],
            "Nothing was made: a secret cannot be empty",
        ),
        (
            ["create", "--tenant", "acme", "--host", "gitlab", "--secret-env", "NO_BASE64"],
            "Nothing was made: .* must go on in base64",
        ),
        (
            ["create", "--tenant", "rival", "--repository", "acme/main/api", "--host", "github"],
            "is not of tenant rival",
        ),
        (
            ["create", "--tenant", "acme", "--host", "gitlab", "--secret-env", "X", "--signing"],
            "Either --signing",
        ),
        (["rotate", "4000000"], "no webhook source 4000000"),
        (["revoke"], "no webhook source"),
    ],
)
def test_what_cannot_be_done_says_the_way_out(
    tenant_world: World, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLANK", "  ")
    monkeypatch.setenv("NO_BASE64", "whsec_!")

    with pytest.raises(CommandError, match=says):
        run("webhook_source", *arguments)
    assert not WebhookSource.objects.exists()


@pytest.mark.parametrize("hours", ["-1", "99999999", "999999999999999999"])
def test_an_overlap_that_is_none_is_refused(made: dict[str, Any], hours: str) -> None:
    with pytest.raises(CommandError, match="Nothing was changed"):
        run("webhook_source", "rotate", str(made["source"]), "--overlap-hours", hours)

    assert WebhookSecret.objects.count() == 1


def test_the_list_tells_which_secrets_live_and_until_when_without_showing_them(
    made: dict[str, Any],
) -> None:
    newer = run("webhook_source", "rotate", str(made["source"]))

    [line] = run("webhook_source", "list")["sources"]

    ends = [secret["expires_at"] for secret in line["secrets"]]
    assert ends == [None, newer["older_secrets_end"]]
    said = spoken("webhook_source", "list")
    assert f"until {newer['older_secrets_end']}" in said
    assert not any(value in said for value in (made["secret"], newer["secret"]))


def standard(secret: str, body: bytes, *, now: int) -> dict[str, str]:
    """Sign as the standard's libraries do: with the bytes that the base64 stands for."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = hmac.digest(key, f"msg_1.{now}.".encode() + body, "sha256")
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


@pytest.mark.parametrize(("host", "options"), [("generic", []), ("gitlab", ["--signing"])])
def test_a_secret_made_here_signs_as_the_standard_has_it_and_so_does_the_next(
    tenant_world: World, host: str, options: list[str]
) -> None:
    forget_cached_sources()
    place = ["--repository", "acme/main/api", "--host", host]
    made = run("webhook_source", "create", *place, *options)
    source = WebhookSource.objects.get()
    body = b'{"type": "ping", "object_kind": "note"}'
    statuses = []

    for told in (made, run("webhook_source", "rotate", str(made["source"]))):
        headers = standard(told["secret"], body, now=int(timezone.now().timestamp()))
        statuses.append(post(source, body, headers).status_code)

    assert statuses == [202, 202]


def test_a_gitlab_secret_is_plain_unless_it_is_to_sign(tenant_world: World) -> None:
    forget_cached_sources()
    made = run("webhook_source", "create", "--repository", "acme/main/api", "--host", "gitlab")
    headers = {"X-Gitlab-Token": made["secret"], "X-Gitlab-Event": "Note Hook"}

    answer = post(WebhookSource.objects.get(), b'{"object_kind": "note"}', headers)

    assert answer.status_code == 202


def test_a_rotation_without_overlap_is_the_way_out_of_a_lost_key(made: dict[str, Any]) -> None:
    source = WebhookSource.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE reconciliation_webhooksecret SET value = 'gone:nonsense'")
    forget_cached_sources()
    lost = deliver(source, "from the environment", delivery="d-1")

    overlapped = run("webhook_source", "rotate", str(made["source"]))
    still_lost = deliver(source, overlapped["secret"], delivery="d-2")
    told = run("webhook_source", "rotate", str(made["source"]), "--overlap-hours", "0")

    assert (lost, still_lost) == (503, 503)
    assert deliver(source, told["secret"], delivery="d-3") == 202
    assert deliver(source, overlapped["secret"], delivery="d-4") == 401


def test_a_lost_key_does_not_close_the_list(made: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE reconciliation_webhooksecret SET value = 'gone:nonsense'")

    assert len(run("webhook_source", "list")["sources"]) == 1


# Keys ------------------------------------------------------------------------------------------


def ring(*ids: str) -> str:
    keys = {name: Fernet.generate_key().decode() for name in ("k1", "k2")}
    return ",".join(f"{name}:{keys[name]}" for name in ids)


def test_secrets_move_to_a_new_key_and_the_old_one_may_go(source: WebhookSource) -> None:
    old = settings.FIELD_ENCRYPTION_KEYS
    new = run("field_keys", "new")["key"]

    with override_settings(FIELD_ENCRYPTION_KEYS=f"{new},{old}"):
        before = run("field_keys", "status")
        told = run("field_keys", "rotate")
        after = run("field_keys", "status")
    with override_settings(FIELD_ENCRYPTION_KEYS=new):
        forget_cached_sources()
        answer = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert new.partition(":")[0] == "k2"
    assert before == {"newest": "k2", "under": {"test": 1}}
    assert told == {"newest": "k2", "moved": 1}
    assert after == {"newest": "k2", "under": {"k2": 1}}
    assert answer.status_code == 202


def test_a_key_that_is_missing_moves_nothing_and_says_which(source: WebhookSource) -> None:
    with (
        override_settings(FIELD_ENCRYPTION_KEYS=ring("k1")),
        pytest.raises(CommandError, match="key test, which is not configured"),
    ):
        run("field_keys", "rotate")

    forget_cached_sources()
    assert push(source, HEAD_A, HEAD_B, delivery="d-1").status_code == 202


def test_a_secret_under_a_lost_key_is_503_with_a_structured_answer_never_500(
    source: WebhookSource, caplog: pytest.LogCaptureFixture
) -> None:
    forget_cached_sources()
    with override_settings(FIELD_ENCRYPTION_KEYS=ring("k1")):
        answer = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert (answer.status_code, answer.json()["code"]) == (503, "secret_unreadable")
    assert answer["Retry-After"] == "60"
    assert "key test, which is not configured" in caplog.text


@pytest.mark.parametrize("name", ["k 1", "k:1", "k-1"])
def test_an_id_that_a_ring_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="use letters and digits"):
        run("field_keys", "new", "--id", name)


@pytest.mark.parametrize("keys", ["", "k1", "k1:rubbish", "no key at all"])
def test_no_web_server_starts_in_production_without_usable_keys(keys: str) -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import reconciler_site.wsgi"],
        cwd=settings.MANAGE_PY.parent,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.production",
            "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP",
            "FIELD_ENCRYPTION_KEYS": keys,
            "RECONCILER_ALLOWED_HOSTS": "reconciler.example",
            "DATABASE_URL": "postgresql://reconciler@127.0.0.1:1/reconciler",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert started.returncode != 0
    assert "BadKeyRing" in started.stderr
