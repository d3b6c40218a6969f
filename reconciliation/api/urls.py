"""Addresses of API v1, below `api/v1/`."""

from django.urls import path

from reconciliation.api.webhooks import WebhookView

urlpatterns = [
    # Both spellings answer: a redirect would make hosts send an empty GET instead.
    path("webhooks/<str:token>", WebhookView.as_view(), name="webhook"),
    path("webhooks/<str:token>/", WebhookView.as_view(), name="webhook-slash"),
]
