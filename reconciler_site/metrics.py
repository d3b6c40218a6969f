"""The page that Prometheus scrapes: requests of all web processes, and the loop's own numbers."""

import os

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from reconciliation.metrics import register

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return every number; the same whichever of several web processes is asked.

    With several of them `run_site` names a folder where each keeps its counts. Numbers of the loop
    come from the database, so they are the same everywhere anyway.
    """
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    if SHARED_FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    register(registry)
    return registry
