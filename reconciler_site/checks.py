"""System checks: says before the start what would else go wrong at 3 a.m.; changes nothing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from governance.domain.encryption import BadKeyRing, KeyRing

_LEAST_KEY_LENGTH = 32


@register(Tags.compatibility)  # not Tags.database: those checks run on request only
def check_database_options(**_: Any) -> Iterable[CheckMessage]:
    """Check that the database is opened the way that keeps writers and the trail safe."""
    return list(problems_of_database(settings.DATABASES["default"]))


@register(Tags.security)
def check_secrets(**_: Any) -> Iterable[CheckMessage]:
    """Check that secrets can be encrypted, and that nobody knows the site's key."""
    problems: list[CheckMessage] = []
    try:
        KeyRing.parse(settings.FIELD_ENCRYPTION_KEYS)
    except BadKeyRing as error:
        problems.append(
            Error(
                f"FIELD_ENCRYPTION_KEYS cannot be used: {error}.",
                hint="Make a key with `manage.py field_keys new`; keep the old ones behind it.",
                id="reconciler.E010",
            )
        )
    if settings.WEAK_SECRETS_ARE_FINE:
        return problems
    key: str = settings.SECRET_KEY
    if len(key) < _LEAST_KEY_LENGTH or key.startswith(("django-insecure-", "only-for-tests")):
        problems.append(
            Error(
                f"SECRET_KEY is an example or shorter than {_LEAST_KEY_LENGTH} characters.",
                hint="Anyone who guesses it can log in as anyone: use 50 random characters.",
                id="reconciler.E011",
            )
        )
    return problems


@register(Tags.staticfiles, deploy=True)
def check_static_files(**_: Any) -> Iterable[CheckMessage]:
    """Check that static files were collected where their names carry hashes."""
    backend: str = settings.STORAGES["staticfiles"]["BACKEND"]
    if "Manifest" not in backend:
        return []
    if (Path(settings.STATIC_ROOT or "") / "staticfiles.json").is_file():
        return []
    return [
        Warning(
            f"Static files are not collected in {settings.STATIC_ROOT}: every page would fail.",
            hint="Run `manage.py collectstatic --noinput`; `manage.py run_site` does it itself.",
            id="reconciler.W020",
        )
    ]


@register(Tags.security, deploy=True)
def check_hosts(**_: Any) -> Iterable[CheckMessage]:
    """Check that links in notifications lead here, and that the Host header is not believed."""
    problems: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        problems.append(
            Warning(
                "RECONCILER_ALLOWED_HOSTS accepts any Host header.",
                hint="Name the hosts people and git hosts use to reach the site.",
                id="reconciler.W021",
            )
        )
    if not settings.PUBLIC_URL.startswith("https://"):
        problems.append(
            Warning(
                f"RECONCILER_PUBLIC_URL is {settings.PUBLIC_URL}: links people get lead there.",
                hint="Set it to the https:// address of the site.",
                id="reconciler.W022",
            )
        )
    return problems


def problems_of_database(config: dict[str, Any]) -> Iterable[CheckMessage]:
    """Yield what is wrong with one entry of DATABASES."""
    options: dict[str, Any] = config.get("OPTIONS", {})
    if config["ENGINE"].endswith("sqlite3"):
        commands = "".join(str(options.get("init_command", "")).lower().split())
        if options.get("transaction_mode") != "IMMEDIATE":
            yield _sqlite_error("transaction_mode is not IMMEDIATE: writers would fail", 1)
        if "journal_mode=wal" not in commands:
            yield _sqlite_error("journal_mode is not WAL: readers would block writers", 2)
        if "synchronous=full" not in commands:
            yield _sqlite_error("synchronous is not FULL: a power cut could cost audit entries", 3)
        if float(options.get("timeout", 5)) < 10:
            yield _sqlite_error("timeout is below 10 s: writers would not wait for each other", 4)
    elif config.get("CONN_MAX_AGE") != 0 and not config.get("CONN_HEALTH_CHECKS"):
        yield Error(
            "Connections are kept without CONN_HEALTH_CHECKS.",
            hint="After a restart of the database, results would be lost on dead connections.",
            id="reconciler.E005",
        )


def _sqlite_error(what: str, number: int) -> CheckMessage:
    return Error(
        f"SQLite: {what}.",
        hint="Open the database with reconciler_site.databases.database().",
        id=f"reconciler.E00{number}",
    )
