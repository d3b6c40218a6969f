"""Addresses of the API below `api/v1/`: what is reconciled, what was found, who may answer it."""

from django.urls import re_path

from reconciliation.api.webhooks import WebhookView

urlpatterns = [
    # Hosts are configured by hand, with and without the slash; neither may be redirected.
    re_path(r"^webhooks/(?P<token>[^/]+)(?:/)?$", WebhookView.as_view(), name="webhook"),
]
