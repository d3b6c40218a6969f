"""Embedded use on one machine: SQLite below var/ unless DATABASE_URL says otherwise."""

from reconciler_site.databases import database, embedded_database
from reconciler_site.env import VAR_DIR, env, local_secrets
from reconciler_site.settings.base import *  # noqa: F403
from reconciler_site.settings.base import DATABASE_SECONDS, TRANSACTION_POOLING

_secrets = local_secrets()
DEBUG = False
SECRET_KEY = env.str("SECRET_KEY", _secrets["SECRET_KEY"])
FIELD_ENCRYPTION_KEYS = env.str("FIELD_ENCRYPTION_KEYS", _secrets["FIELD_ENCRYPTION_KEYS"])
ALLOWED_HOSTS = env.list("RECONCILER_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
_database_url: str = env.str("DATABASE_URL", "")
DATABASES = {
    "default": (
        database(_database_url, is_pooled=TRANSACTION_POOLING, wait_seconds=DATABASE_SECONDS)
        if _database_url
        else embedded_database(VAR_DIR / "reconciler.sqlite3")
    )
}
# Served from where they lie: nothing to collect, nothing to forget.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
