"""How each of the two databases is opened; both are first-class."""

from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

_SQLITE_OPTIONS = {
    # BEGIN IMMEDIATE: writers take turns instead of failing when a read becomes a write.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: an audit trail must not lose its last entries when the power goes.
    "init_command": (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
        "PRAGMA cache_size=-64000;PRAGMA foreign_keys=ON;"
    ),
}
# A database that does not answer must cost a request seconds, not the system's two minutes, and
# one whose machine is gone must not be waited for on a connection that only looks alive.
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_POSTGRESQL = "django.db.backends.postgresql"


def embedded_database(path: Path) -> dict[str, Any]:
    """Return Django's settings for the SQLite file at `path`, whatever characters it holds."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": 60,
        "OPTIONS": dict(_SQLITE_OPTIONS),
    }


def database(
    url: str, *, is_pooled: bool = False, wait_seconds: float | None = None
) -> dict[str, Any]:
    """Return Django's settings for `url` (sqlite:/// or postgresql://).

    `is_pooled`: a pooler hands the connection on after each transaction, so no cursor outlives one.
    `wait_seconds`: how long a statement may take on PostgreSQL; see `reconciler_site.postgresql`.

    Raises:
        ImproperlyConfigured: any other database, or no address of one.
    """
    config = _parsed(url)
    if config["ENGINE"] == "django.db.backends.sqlite3":
        return {**config, "OPTIONS": dict(_SQLITE_OPTIONS)}
    if config["ENGINE"] == _POSTGRESQL:
        given: Any = config.get("OPTIONS", {})
        return {
            **config,
            "ENGINE": "reconciler_site.postgresql",
            "WAIT_SECONDS": wait_seconds,
            "OPTIONS": {**_POSTGRESQL_OPTIONS, **given},
            "DISABLE_SERVER_SIDE_CURSORS": is_pooled,
        }
    raise ImproperlyConfigured(f"{config['ENGINE']} is not supported: use PostgreSQL or SQLite")


def _parsed(url: str) -> dict[str, Any]:
    """Return the parts of `url`; what is wrong with it is said without repeating its password."""
    try:
        return dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except (ValueError, KeyError, TypeError):
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read: use postgresql://user:password@host:port/name, or"
            " sqlite:///path. Write /, @, :, #, ? and % of a user or password as %2F, %40, %3A,"
            " %23, %3F and %25."
        ) from None


def limit_waits_of_this_process(seconds: float) -> None:
    """Bound how long every thread from now on waits for the database, as web processes do.

    On SQLite that is how long a statement waits for another writer.
    """
    config: dict[str, Any] = connections.settings["default"]
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"]["timeout"] = seconds
    else:
        config["WAIT_SECONDS"] = seconds
