"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

import governance.api.openapi  # noqa: F401 - registers the schemes

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("audit.urls")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("metrics", ExportToDjangoView, name="metrics"),
]
