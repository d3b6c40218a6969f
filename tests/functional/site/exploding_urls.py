"""The site's addresses and some that fail in every way a view can."""

from typing import NoReturn

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from reconciler_site import urls
from reconciler_site.urls import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

FAILURES: dict[str, BaseException] = {
    "unexpected": RuntimeError("secret: hunter2"),
    "database": OperationalError("could not connect to server db.internal"),
    "missing": Http404("There is no such branch."),
    "denied": PermissionDenied("Only admins may."),
    "suspicious": SuspiciousOperation("no"),
    "invalid": exceptions.ValidationError({"reason": ["Too short."]}),
    "throttled": exceptions.Throttled(wait=7),
}


class ExplodingView(APIView):
    """A DRF view that fails as its address says."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request, failure: str) -> NoReturn:
        raise FAILURES[failure]

    def post(self, request: Request, failure: str) -> Response:
        return Response(request.data)


def exploding(request: HttpRequest, failure: str) -> NoReturn:
    raise FAILURES[failure]


@require_GET
def only_get(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


def teapot(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<h1>I'm a teapot</h1>", status=418)


urlpatterns = [
    path("api/v1/explode/<str:failure>", ExplodingView.as_view()),
    path("api/v1/plain/<str:failure>", exploding),
    path("api/v1/only-get", only_get),
    path("api/v1/teapot", teapot),
    path("pages/explode/<str:failure>", exploding),
    path("pages/only-get", only_get),
    *urls.urlpatterns,
]
