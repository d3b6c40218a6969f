"""System checks: a dangerous setting is an error before the start, not at 3 a.m."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from reconciler_site import checks
from reconciler_site.databases import database, embedded_database

GOOD_KEY = "A" * 43 + "="
ROOT = Path(__file__).resolve().parents[3]


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


def with_database(config: dict[str, Any]) -> list[str]:
    return ids(checks.problems_of_database(config))


def test_the_database_of_this_test_passes() -> None:
    assert ids(checks.check_database_options()) == []


@pytest.mark.parametrize(
    "url", ["sqlite:///var/x.sqlite3", "postgresql://u:p@db/x", "postgres://u@db/x?sslmode=require"]
)
def test_databases_opened_our_way_pass(url: str) -> None:
    assert with_database(database(url)) == []


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("transaction_mode", "DEFERRED", ["reconciler.E001"]),
        ("timeout", 5, ["reconciler.E004"]),
        ("init_command", "PRAGMA journal_mode=WAL;", ["reconciler.E003"]),
        ("init_command", "PRAGMA synchronous=FULL;", ["reconciler.E002"]),
        ("init_command", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", []),
    ],
)
def test_each_dangerous_option_of_sqlite_has_its_own_error(
    option: str, value: object, expected: list[str]
) -> None:
    config = embedded_database(Path("/tmp/x"))

    assert with_database({**config, "OPTIONS": {**config["OPTIONS"], option: value}}) == expected


def test_postgresql_connections_that_are_kept_must_be_checked() -> None:
    config = database("postgresql://u@db/x")

    assert with_database({**config, "CONN_HEALTH_CHECKS": False}) == ["reconciler.E005"]
    assert with_database({**config, "CONN_HEALTH_CHECKS": False, "CONN_MAX_AGE": 0}) == []


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="not supported"):
        database("mysql://u@db/x")


def test_a_database_that_does_not_answer_is_given_up_on_in_seconds() -> None:
    assert database("postgresql://u@db/x")["OPTIONS"]["connect_timeout"] == 5
    assert database("postgresql://u@db/x?connect_timeout=2")["OPTIONS"]["connect_timeout"] == 2


@pytest.mark.parametrize("is_pooled", [False, True])
def test_behind_a_pooler_no_cursor_outlives_its_transaction(is_pooled: bool) -> None:
    config = database("postgresql://u@db/x", is_pooled=is_pooled)

    assert config["DISABLE_SERVER_SIDE_CURSORS"] is is_pooled


def test_the_embedded_database_may_lie_in_a_folder_of_any_name() -> None:
    assert embedded_database(Path("/tmp/50% off #1?/x"))["NAME"] == "/tmp/50% off #1?/x"


@pytest.mark.parametrize(
    "keys", ["", "no-id", "k1:short", f"k1:{GOOD_KEY},k1:x", f"k1:{GOOD_KEY},k1:{GOOD_KEY}"]
)
def test_encryption_keys_that_cannot_be_used_are_an_error(keys: str) -> None:
    with override_settings(FIELD_ENCRYPTION_KEYS=keys):
        assert ids(checks.check_secrets()) == ["reconciler.E010"]


@pytest.mark.parametrize("key", ["short", "django-insecure-" + "x" * 50, "x" * 31])
def test_a_secret_key_that_can_be_guessed_is_an_error(key: str) -> None:
    with override_settings(SECRET_KEY=key, WEAK_SECRETS_ARE_FINE=False):
        assert ids(checks.check_secrets()) == ["reconciler.E011"]


def test_a_long_secret_key_passes() -> None:
    with override_settings(SECRET_KEY="k" * 32, WEAK_SECRETS_ARE_FINE=False):
        assert ids(checks.check_secrets()) == []


MANIFEST = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}


def test_static_files_that_were_not_collected_are_told(tmp_path: Path) -> None:
    with override_settings(STORAGES=MANIFEST, STATIC_ROOT=tmp_path):
        before = ids(checks.check_static_files())
        (tmp_path / "staticfiles.json").write_text("{}")
        after = ids(checks.check_static_files())

    assert (before, after) == (["reconciler.W020"], [])


def production(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the deployment checks as a real installation would."""
    given = {
        "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.production",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP",
        "FIELD_ENCRYPTION_KEYS": f"k1:{GOOD_KEY}",
        "RECONCILER_ALLOWED_HOSTS": "reconciler.example",
        "RECONCILER_PUBLIC_URL": "https://reconciler.example",
        "DATABASE_URL": "postgresql://reconciler@127.0.0.1:1/reconciler",
        **environment,
    }
    inherited = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={name: value for name, value in {**inherited, **given}.items() if value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def collected(folder: Path) -> str:
    (folder / "static").mkdir()
    (folder / "static" / "staticfiles.json").write_text("{}")
    return str(folder)


def test_production_settings_pass_the_checks_for_deployment(tmp_path: Path) -> None:
    checked = production(RECONCILER_VAR=collected(tmp_path))

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "missing", ["SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DATABASE_URL", "RECONCILER_ALLOWED_HOSTS"]
)
def test_production_does_not_start_without_its_secrets(missing: str) -> None:
    checked = production(**{missing: ""})

    assert checked.returncode != 0
    assert missing in checked.stderr


def test_production_tells_what_would_go_wrong(tmp_path: Path) -> None:
    checked = production(
        RECONCILER_VAR=str(tmp_path),
        RECONCILER_ALLOWED_HOSTS="*",
        RECONCILER_PUBLIC_URL="http://127.0.0.1:8000",
        SECRET_KEY="short",
    )

    assert checked.returncode == 1
    for expected in ("reconciler.E011", "reconciler.W020", "reconciler.W021", "reconciler.W022"):
        assert expected in checked.stderr
