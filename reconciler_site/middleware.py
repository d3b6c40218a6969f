"""Correlation in, problem details out, on every path, DRF or not."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from audit.correlation import correlated, is_well_formed, new_correlation_id
from reconciler_site.errors import failure, is_for_machines

Handler = Callable[[HttpRequest], HttpResponse]
HEADER = "X-Correlation-ID"
_WEBHOOKS = "/api/v1/webhooks/"
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


class CorrelationMiddleware:
    """Adopts a caller's well-formed correlation id, or makes one, and gives it back."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind the id for the length of the request."""
        offered = request.headers.get(HEADER, "")
        correlation_id = offered if is_well_formed(offered) else new_correlation_id()
        with correlated(correlation_id):
            response = self.get_response(request)
        response[HEADER] = correlation_id
        return response


class ProblemMiddleware:
    """Refuses what no view should have to think of, and leaves no error to machines in HTML."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with problem details in place of an HTML error on machine paths."""
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL has no such text: every view that looks something up would fail.
            return failure(request, 400, detail="The address holds a NUL character.")
        if _comes_without_its_body(request):
            return failure(request, 411)
        if _is_too_large(request):
            most = f"{settings.API_BODY_LIMIT_BYTES} bytes"
            return failure(request, 413, detail=f"The body is larger than {most}.")
        response = self.get_response(request)
        if response.status_code < 400 or _says_enough(request, response):
            return response
        answer = failure(request, response.status_code)
        for name in _KEPT_HEADERS:
            if name in response:
                answer[name] = response[name]
        return answer


def _says_enough(request: HttpRequest, response: HttpResponse) -> bool:
    if is_for_machines(request):
        return "json" in response.headers.get("Content-Type", "")
    # People get what the view said; Django's own 405 says nothing at all.
    return bool(response.streaming or response.content)


def _comes_without_its_body(request: HttpRequest) -> bool:
    """Return whether a body was sent in chunks through a server that did not put it together.

    Django would read nothing then, and act on the request as if it had come without one. The edge
    puts bodies together, so this is for other servers in front of `reconciler_site.wsgi`. The
    webhook receiver reads what such servers give.
    """
    if request.path.startswith(_WEBHOOKS):
        return False
    return "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH")


def _is_too_large(request: HttpRequest) -> bool:
    # The webhook receiver has caps of its own, by host.
    if request.path.startswith(_WEBHOOKS):
        return False
    declared = request.META.get("CONTENT_LENGTH") or "0"
    return declared.isdigit() and int(declared) > settings.API_BODY_LIMIT_BYTES


class MethodMiddleware:
    """Answers 405 before the CSRF check would refuse a request that no view takes anyway.

    It stands in front of that check. DRF's views are left alone: they are exempt from it.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Hand the request on."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Refuse a method that `view` does not take."""
        if getattr(view, "csrf_exempt", False):
            return None
        methods = _methods_of(view) or _METHODS_OF_PAGES
        return None if request.method in methods else HttpResponseNotAllowed(methods)


# What Django's own views look at: the admin, the login.
_METHODS_OF_PAGES = ["GET", "HEAD", "OPTIONS", "POST"]


def _methods_of(view: Any) -> list[str] | None:
    """Return the methods that `require_http_methods` or a relative of it was given for `view`.

    Django keeps them in the closure of its decorator only.
    """
    while view is not None:
        code = getattr(view, "__code__", None)
        if code is not None and "request_method_list" in code.co_freevars:
            methods: list[str] = list(
                view.__closure__[code.co_freevars.index("request_method_list")].cell_contents
            )
            return methods
        view = getattr(view, "__wrapped__", None)
    return None
