"""Correlation in, problem details out, on every path, DRF or not."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

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


def _is_too_large(request: HttpRequest) -> bool:
    # The webhook receiver has caps of its own, by host. Without a length nothing is read at all.
    if not request.path.startswith("/api/") or request.path.startswith(_WEBHOOKS):
        return False
    declared = request.META.get("CONTENT_LENGTH") or "0"
    return declared.isdigit() and int(declared) > settings.API_BODY_LIMIT_BYTES
