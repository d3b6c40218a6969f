"""Settings that hold everywhere; what differs is in dev, test and production."""

from pathlib import Path
from typing import Any

from reconciler_site.env import BASE_DIR, VAR_DIR, env

MANAGE_PY = BASE_DIR / "manage.py"
ROOT_URLCONF = "reconciler_site.urls"
WSGI_APPLICATION = "reconciler_site.wsgi.application"
ASGI_APPLICATION = "reconciler_site.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "audit",
    "governance",
    "reconciliation",
    "reconciler_site",
    "reconciler_site.admin_site.ReconcilerAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "django_prometheus",
    "axes",
    "csp",
]

MIDDLEWARE = [
    "reconciler_site.middleware.CorrelationMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "reconciler_site.receiver_path.ReceiverPath",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "reconciler_site.middleware.ProblemMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "reconciler_site.middleware.MethodMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT: Path | None = VAR_DIR / "static"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "reconciler_site.formats"

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False

# The audit app lies below the app that knows people, so it is told by name whom to ask.
AUDIT_CALLER_OF_USER = "governance.services.access.caller_of_user"

CSRF_FAILURE_VIEW = "reconciler_site.errors.csrf_failure"
# Only tests say yes; see `reconciler_site.checks`.
WEAK_SECRETS_ARE_FINE = False

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
# No inline script or style anywhere of ours, so the policy needs no exception.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'self'"],
        "object-src": ["'none'"],
    }
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "governance.api.authentication.ApiTokenAuthentication",
        "governance.api.authentication.PersonAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["governance.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["reconciler_site.base.parsing.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "reconciler_site.base.pages.KeysetPages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_VERSIONING_CLASS": None,
    "EXCEPTION_HANDLER": "reconciler_site.problems.exception_handler",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Reconciler API",
    "DESCRIPTION": "What is governed, where views drift apart, and what was decided about it.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "reconciliation.api.openapi.add_problems",
    ],
    # Fields of one name with different choices; without names of ours the schema gets hashes.
    "ENUM_NAME_OVERRIDES": {
        "AuditStatusEnum": ["intact", "incomplete", "broken"],
        "PartStatusEnum": ["ok", "degraded", "unknown"],
        "SweepStatusEnum": ["running", "complete", "degraded"],
        "PolicyLayerEnum": "governance.models.policy.Layer",
        "LayerNameEnum": ["site", "tenant", "workspace", "repository", "branch"],
    },
}

# The receiver caps bodies itself, per host; Django's own cap must lie above the largest of them.
DATA_UPLOAD_MAX_MEMORY_SIZE = 26 * 1024 * 1024 + 1
# Everything else below /api/ is small; DRF's parsers do not look at the cap above.
API_BODY_LIMIT_BYTES = env.int("RECONCILER_API_BODY_LIMIT_BYTES", 2 * 1024 * 1024)

# What a web process holds out for its callers; see `reconciler_site.edge`.
WEB_THREADS = env.int("RECONCILER_WEB_THREADS", 4)
WEB_CONNECTIONS = env.int("RECONCILER_WEB_CONNECTIONS", 8192)
IDLE_SECONDS = env.int("RECONCILER_IDLE_SECONDS", 30)
BODY_SECONDS = env.float("RECONCILER_BODY_SECONDS", 30.0)
BODY_MEMORY_BYTES = env.int("RECONCILER_BODY_MEMORY_BYTES", 128 * 1024 * 1024)
QUEUE_SECONDS = env.float("RECONCILER_QUEUE_SECONDS", 8.0)
ANSWER_SECONDS = env.float("RECONCILER_ANSWER_SECONDS", 60.0)

Q_CLUSTER: dict[str, Any] = {
    "name": "reconciler",
    "orm": "default",
    "workers": env.int("RECONCILER_WORKERS", 2),
    # Our rows do the retrying; django-q2 carries wake-ups only, so one failure of one is final.
    "timeout": 120,
    "retry": 300,
    "max_attempts": 1,
    "ack_failures": True,
    "queue_limit": 2,
    "bulk": 1,
    "save_limit": 100,
    "catch_up": False,
    "poll": 0.2,
    "recycle": 500,
    "guard_cycle": 0.5,
    "label": "Wake-ups",
    # Without this key Q_CLUSTER_NAME in the environment breaks every command.
    "ALT_CLUSTERS": {},
}

MIRROR_ROOT = VAR_DIR / "mirrors"
# Local paths are refused as clone URLs unless they lie below one of these.
ALLOWED_LOCAL_REMOTE_ROOTS: list[str] = env.list("RECONCILER_ALLOWED_LOCAL_ROOTS", [])
ALLOW_INSECURE_HTTP_REMOTES = env.bool("RECONCILER_ALLOW_INSECURE_HTTP", False)
# Servers without partial fetch give no history unless whole files may be brought into the mirror.
ALLOW_UNFILTERED_FETCHES = env.bool("RECONCILER_ALLOW_UNFILTERED_FETCHES", False)
# How long git may take: one look into a mirror; one fetch, however large, while it moves; silence.
GIT_SECONDS = env.float("RECONCILER_GIT_SECONDS", 60.0)
FETCH_SECONDS = env.float("RECONCILER_FETCH_SECONDS", 240.0)
FETCH_SILENCE_SECONDS = env.float("RECONCILER_FETCH_SILENCE_SECONDS", 60.0)
# Silence of a host that is asked for its heads.
HOST_SILENCE_SECONDS = env.float("RECONCILER_HOST_SILENCE_SECONDS", 15.0)
# How far equal changes of an idle branch are looked for; commits of a repository read at once.
LOOK_BACK_COMMITS = env.int("RECONCILER_LOOK_BACK_COMMITS", 200)
LOOK_BACK_BRANCH_COMMITS = env.int("RECONCILER_LOOK_BACK_BRANCH_COMMITS", 50)
LOOK_BACK_PATHS = env.int("RECONCILER_LOOK_BACK_PATHS", 500)
HISTORY_COMMITS = env.int("RECONCILER_HISTORY_COMMITS", 250_000)
BLOCK_PRIVATE_REMOTES = env.bool("RECONCILER_BLOCK_PRIVATE_REMOTES", False)
PUBLIC_URL = env.str("RECONCILER_PUBLIC_URL", "http://127.0.0.1:8000")

# How long one statement may take: in workers and commands, and where somebody waits for an answer.
DATABASE_SECONDS = env.float("RECONCILER_DATABASE_SECONDS", 30.0)
WEB_DATABASE_SECONDS = env.float("RECONCILER_WEB_DATABASE_SECONDS", 5.0)
CLAIM_SECONDS = env.int("RECONCILER_CLAIM_SECONDS", 60)
CLAIM_BATCH = env.int("RECONCILER_CLAIM_BATCH", 100)
# After this time a batch reads nothing more; what one task could not finish alone counts as a try.
BATCH_SECONDS = env.int("RECONCILER_BATCH_SECONDS", 30)
DRAIN_SECONDS = env.int("RECONCILER_DRAIN_SECONDS", 60)
# 0: as many as keep the interval, whatever the number of repositories; and no cap of a tenant.
SWEEP_REPOSITORIES_PER_TICK = env.int("RECONCILER_SWEEP_REPOSITORIES_PER_TICK", 0)
SWEEP_REPOSITORIES_PER_TENANT = env.int("RECONCILER_SWEEP_REPOSITORIES_PER_TENANT", 0)
# Of each git host; sweeps get four fifths, webhook work may use it all. 0 sets no bound.
HOST_CALLS_PER_MINUTE = env.int("RECONCILER_HOST_CALLS_PER_MINUTE", 300)
# A pooler hands each connection on after a transaction: nothing may be kept in the session.
TRANSACTION_POOLING = env.bool("RECONCILER_TRANSACTION_POOLING", False)
WEBHOOK_COALESCE_SECONDS = env.float("RECONCILER_WEBHOOK_COALESCE_SECONDS", 0.2)
# Off: sweeps are planned by `manage.py sweep` only (a cron of one's own, the demonstration).
SCHEDULED_SWEEPS = env.bool("RECONCILER_SCHEDULED_SWEEPS", True)
SWEEP_INTERVAL_SECONDS = env.int("RECONCILER_SWEEP_INTERVAL_SECONDS", 3600)
DELIVERY_BODY_RETENTION_DAYS = env.int("RECONCILER_DELIVERY_BODY_RETENTION_DAYS", 30)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "correlation": {"()": "reconciler_site.logging.CorrelationFilter"},
        "outage": {"()": "reconciler_site.logging.OutageFilter"},
    },
    "formatters": {"facts": {"()": "reconciler_site.logging.FactsFormatter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["correlation", "outage"],
            "formatter": "facts",
        }
    },
    "root": {"handlers": ["stderr"], "level": env.str("RECONCILER_LOG_LEVEL", "INFO")},
    "loggers": {
        "django_q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django-q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "axes": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        # Scanners send any Host; each would leave a traceback.
        "django.security.DisallowedHost": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
