"""Embedded use on one machine: SQLite below var/ unless DATABASE_URL says otherwise."""

from reconciler_site.databases import database
from reconciler_site.env import VAR_DIR, env, local_secrets
from reconciler_site.settings.base import *  # noqa: F403

_secrets = local_secrets()
DEBUG = False
SECRET_KEY = env.str("SECRET_KEY", _secrets["SECRET_KEY"])
FIELD_ENCRYPTION_KEYS = env.str("FIELD_ENCRYPTION_KEYS", _secrets["FIELD_ENCRYPTION_KEYS"])
ALLOWED_HOSTS = env.list("RECONCILER_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
DATABASES = {
    "default": database(env.str("DATABASE_URL", f"sqlite:///{VAR_DIR}/reconciler.sqlite3"))
}
