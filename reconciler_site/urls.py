"""Every address of the site, and what answers when none fits."""

from csp.decorators import csp_update
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import governance.api.openapi  # noqa: F401 - registers the schemes
from reconciler_site.health import healthz, readyz
from reconciler_site.metrics import metrics

# Swagger UI sets styles from its script; scripts still come from us only.
_docs = csp_update({"style-src": ["'self'", "'unsafe-inline'"]})(
    SpectacularSwaggerSplitView.as_view(url_name="schema")
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", _docs, name="api-docs"),
    path("api/v1/", include("audit.urls")),
    path("api/v1/", include("governance.urls")),
    path("", include("reconciliation.urls")),
]

handler400 = "reconciler_site.errors.bad_request"
handler403 = "reconciler_site.errors.permission_denied"
handler404 = "reconciler_site.errors.page_not_found"
handler500 = "reconciler_site.errors.server_error"
