"""How each of the two databases is opened; both are first-class."""

from pathlib import Path
from typing import Any

import dj_database_url

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
# A database that does not answer must cost a request seconds, not the system's two minutes.
_POSTGRESQL_OPTIONS = {"connect_timeout": 5}


def embedded_database(path: Path) -> dict[str, Any]:
    """Return Django's settings for the SQLite file at `path`, whatever characters it holds."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": 60,
        "OPTIONS": dict(_SQLITE_OPTIONS),
    }


def database(url: str, *, is_pooled: bool = False) -> dict[str, Any]:
    """Return Django's settings for `url` (sqlite:/// or postgresql://).

    `is_pooled`: a pooler hands the connection on after each transaction, so no cursor outlives one.

    Raises:
        ValueError: any other database.
    """
    config = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        return {**config, "OPTIONS": dict(_SQLITE_OPTIONS)}
    if config["ENGINE"] == "django.db.backends.postgresql":
        given: Any = config.get("OPTIONS", {})
        return {
            **config,
            "OPTIONS": {**_POSTGRESQL_OPTIONS, **given},
            "DISABLE_SERVER_SIDE_CURSORS": is_pooled,
        }
    raise ValueError(f"{config['ENGINE']} is not supported: use PostgreSQL or SQLite")
