"""Addresses of the audit API, below api/v1/."""

from django.urls import path

from audit.api.views import EntryDetail, EntryList, VerifyView

urlpatterns = [
    path("audit/entries", EntryList.as_view(), name="audit-entries"),
    path("audit/entries/<int:pk>", EntryDetail.as_view(), name="audit-entry"),
    path("audit/verify", VerifyView.as_view(), name="audit-verify"),
]
