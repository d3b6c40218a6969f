"""The test suite: DATABASE_URL picks the database, SQLite when unset; everything else is fixed."""

import atexit
import base64
import shutil
import tempfile
from pathlib import Path

from reconciler_site.databases import database
from reconciler_site.env import env
from reconciler_site.settings.base import *  # noqa: F403
from reconciler_site.settings.base import DATABASE_SECONDS, LOGGING

_scratch = Path(tempfile.mkdtemp(prefix="reconciler-test-"))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
DEBUG = False
SECRET_KEY = "only-for-tests"
# The same in every process of a test, and worth nothing outside of one.
FIELD_ENCRYPTION_KEYS = f"test:{base64.urlsafe_b64encode(b'only-for-tests'.ljust(32)).decode()}"
WEAK_SECRETS_ARE_FINE = True
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
DATABASES = {
    "default": database(
        env.str("DATABASE_URL", f"sqlite:///{_scratch}/test.sqlite3"),
        wait_seconds=DATABASE_SECONDS,
    )
}
DATABASES["default"].setdefault("TEST", {})
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, so that threads and processes of a test see one database.
    DATABASES["default"]["TEST"]["NAME"] = str(_scratch / "test-database.sqlite3")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MIRROR_ROOT = _scratch / "mirrors"
WEBHOOK_COALESCE_SECONDS = 0.0
AXES_ENABLED = False
LOGGING["root"]["level"] = "WARNING"  # type: ignore[index]
# Looked up when asked for: every test client would else walk all static files.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
