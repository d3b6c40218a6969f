"""The policy API alone, where the site has it: below api/v1/."""

from django.urls import include, path

from governance.api.policies import policy_urlpatterns

urlpatterns = [path("api/v1/", include(policy_urlpatterns))]
