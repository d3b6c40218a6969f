"""The test suite: DATABASE_URL picks the database, SQLite when unset; everything else is fixed."""

import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

from reconciler_site.databases import database
from reconciler_site.env import env
from reconciler_site.settings.base import *  # noqa: F403
from reconciler_site.settings.base import LOGGING

_scratch = Path(tempfile.mkdtemp(prefix="reconciler-test-"))
DEBUG = False
SECRET_KEY = "only-for-tests"
FIELD_ENCRYPTION_KEYS = f"test:{Fernet.generate_key().decode()}"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
DATABASES = {"default": database(env.str("DATABASE_URL", f"sqlite:///{_scratch}/test.sqlite3"))}
DATABASES["default"].setdefault("TEST", {})
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, so that threads and processes of a test see one database.
    DATABASES["default"]["TEST"]["NAME"] = str(_scratch / "test-database.sqlite3")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MIRROR_ROOT = _scratch / "mirrors"
WEBHOOK_COALESCE_SECONDS = 0.0
AXES_ENABLED = False
LOGGING["root"]["level"] = "WARNING"  # type: ignore[index]
