"""Correlation in, problem details out, on every path, DRF or not."""

import logging
from collections.abc import Callable

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse

from audit.correlation import correlated, is_well_formed, new_correlation_id
from reconciler_site.problems import problem_response

logger = logging.getLogger("reconciler.request")

Handler = Callable[[HttpRequest], HttpResponse]
HEADER = "X-Correlation-ID"


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
    """Answers errors of API and machine paths in structured form; people get pages."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Replace Django's HTML errors on machine paths by problem details."""
        response = self.get_response(request)
        if not _is_for_machines(request) or response.status_code < 400:
            return response
        if "json" in response.headers.get("Content-Type", ""):
            return response
        code, detail = _STANDARD.get(response.status_code, ("error", "The request failed."))
        answer = problem_response(response.status_code, code, detail)
        if "Allow" in response:
            answer["Allow"] = response["Allow"]
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Log an unexpected error once and answer it; expected ones keep Django's handling."""
        if isinstance(error, Http404 | PermissionDenied | SuspiciousOperation | BadRequest):
            return None
        logger.error(
            "request.failed path=%s error=%s", request.path, type(error).__name__, exc_info=error
        )
        if _is_for_machines(request):
            return problem_response(
                500, "internal_error", "Something unexpected failed; nothing was half done."
            )
        return None


_STANDARD = {
    400: ("bad_request", "The request could not be understood."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is nothing at this address; see /api/v1/schema for what there is."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("too_large", "The body is larger than this address takes."),
}


def _is_for_machines(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/metrics", "/healthz", "/readyz"))
