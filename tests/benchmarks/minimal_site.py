"""The references of the intake benchmark: the least a receiver must do, in two ways.

Both verify the HMAC over the raw body and keep the same compressed bytes and one task row. `/orm/`
does so with two model instances in a transaction, `/sql/` with one bare statement. No middleware,
no look-ups, no dedupe, no correlation, no coalescing.
"""

import hashlib
import hmac
import os
import zlib
from typing import Any

import dj_database_url
from django.conf import settings

SECRET = os.environ.get("BENCH_SECRET", "bench").encode()

if not settings.configured:
    settings.configure(
        SECRET_KEY="bench",
        DEBUG=False,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        INSTALLED_APPS=[],
        USE_TZ=True,
        DATABASES={
            "default": dj_database_url.parse(
                os.environ["DATABASE_URL"], conn_max_age=60, conn_health_checks=True
            )
        },
        WSGI_APPLICATION=None,
    )
    import django

    django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402


class Delivery(models.Model):
    """A kept request."""

    delivery_id = models.CharField(max_length=200)
    event = models.CharField(max_length=100)
    body = models.BinaryField()
    received_at = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "bench_delivery"

    def __str__(self) -> str:
        return self.delivery_id


class Task(models.Model):
    """A piece of work."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE)
    kind = models.CharField(max_length=20)
    subject = models.CharField(max_length=300)
    state = models.CharField(max_length=10)
    run_after = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "bench_task"

    def __str__(self) -> str:
        return self.subject


def make_tables() -> None:
    """Create the two tables, as migrations would."""
    with connection.schema_editor() as editor:
        editor.create_model(Delivery)
        editor.create_model(Task)


def is_signed(request: HttpRequest, body: bytes) -> bool:
    """Return whether the body was signed with the secret."""
    digest = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest, request.headers.get("X-Hub-Signature-256", ""))


def by_orm(request: HttpRequest) -> HttpResponse:
    """Store a delivery and a task with the ORM."""
    body = request.body
    if not is_signed(request, body):
        return HttpResponse(status=401)
    now = timezone.now()
    with transaction.atomic():
        delivery = Delivery._default_manager.create(
            delivery_id=request.headers["X-GitHub-Delivery"],
            event=request.headers["X-GitHub-Event"],
            body=zlib.compress(body, 1),
            received_at=now,
        )
        Task._default_manager.create(
            delivery=delivery, kind="push", subject="push", state="queued", run_after=now
        )
    return HttpResponse(status=202)


def by_sql(request: HttpRequest) -> HttpResponse:
    """Store the same rows with one statement."""
    body = request.body
    if not is_signed(request, body):
        return HttpResponse(status=401)
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH kept AS (INSERT INTO bench_delivery (delivery_id, event, body, received_at)"
            " VALUES (%s, %s, %s, %s) RETURNING id)"
            " INSERT INTO bench_task (delivery_id, kind, subject, state, run_after)"
            " SELECT id, 'push', 'push', 'queued', %s FROM kept",
            [
                request.headers["X-GitHub-Delivery"],
                request.headers["X-GitHub-Event"],
                zlib.compress(body, 1),
                now,
                now,
            ],
        )
    return HttpResponse(status=202)


urlpatterns: list[Any] = [path("orm/", by_orm), path("sql/", by_sql)]
application = get_wsgi_application()
