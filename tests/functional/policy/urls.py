"""The policy API alone, of both apps, where the site has it: below api/v1/."""

from django.urls import include, path

from governance.api.policies import policy_urlpatterns as to_read
from reconciliation.api.policies import policy_urlpatterns as to_change

urlpatterns = [path("api/v1/", include([*to_read, *to_change]))]
