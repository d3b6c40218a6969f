"""A real installation: every secret comes from the environment, and missing ones stop the start."""

from governance.domain.encryption import KeyRing
from reconciler_site.databases import database
from reconciler_site.env import env
from reconciler_site.settings.base import *  # noqa: F403
from reconciler_site.settings.base import DATABASE_SECONDS, TRANSACTION_POOLING

DEBUG = False
SECRET_KEY = env.str("SECRET_KEY")
FIELD_ENCRYPTION_KEYS = env.str("FIELD_ENCRYPTION_KEYS")
# Web servers run no system checks: without usable keys nothing may start at all.
KeyRing.parse(FIELD_ENCRYPTION_KEYS)
ALLOWED_HOSTS: list[str] = env.list("RECONCILER_ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS: list[str] = env.list("RECONCILER_TRUSTED_ORIGINS", [])
DATABASES = {
    "default": database(
        env.str("DATABASE_URL"), is_pooled=TRANSACTION_POOLING, wait_seconds=DATABASE_SECONDS
    )
}

SECURE_SSL_REDIRECT = env.bool("RECONCILER_SSL_REDIRECT", True)
# Webhooks must never be redirected: hosts re-send them as GET with an empty body.
SECURE_REDIRECT_EXEMPT = [r"^api/v1/webhooks/", r"^healthz$", r"^readyz$", r"^metrics$"]
# The proxy in front must set this header itself, and drop the one a client sends.
if env.bool("RECONCILER_BEHIND_PROXY", True):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("RECONCILER_HSTS_SECONDS", 31_536_000)
# Whether the other subdomains of an organisation speak TLS is not ours to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
