"""What is answered when a request fails: problem details to machines, a page to people.

Django calls these for every error it does not answer itself, also for errors of middleware, and
has logged the error by then: once, with its traceback and correlation id. They must not fail.
"""

import logging
import sys

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.utils.html import escape

from audit.correlation import current_correlation_id
from reconciler_site.base.database_trouble import AWAY, FULL, trouble_of
from reconciler_site.base.disks import note_full_database
from reconciler_site.base.problems import problem_response

logger = logging.getLogger("reconciler.request")

_MACHINE_PATHS = ("/api/", "/metrics", "/healthz", "/readyz")
_PAGES_OF_THE_API = "/api/v1/docs"

_STANDARD = {
    400: ("bad_request", "The request could not be understood."),
    401: ("not_authenticated", "Say who you are: send a bearer token, or log in."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is nothing at this address; see /api/v1/schema for what there is."),
    405: ("method_not_allowed", "This address does not take that method."),
    406: ("not_acceptable", "This address answers in JSON only."),
    411: ("length_required", "Send the body with its Content-Length; it was not read."),
    413: ("too_large", "The body is larger than this address takes."),
    414: ("uri_too_long", "The address is longer than the server takes."),
    415: ("unsupported_media_type", "This address takes application/json only."),
    429: ("throttled", "Too many requests; try again later."),
    500: (
        "internal_error",
        "Something unexpected failed and was logged; quote the correlation id.",
    ),
    503: (AWAY.code, AWAY.detail),
}


def is_for_machines(request: HttpRequest) -> bool:
    """Return whether the caller is a program: by address, or because it does not want a page."""
    if request.path.startswith(_PAGES_OF_THE_API):
        return False
    return is_machine_path(request.path) or not request.accepts("text/html")


def is_machine_path(path: str) -> bool:
    """Return whether only programs ask for `path`."""
    return path.startswith(_MACHINE_PATHS) and not path.startswith(_PAGES_OF_THE_API)


def failure(
    request: HttpRequest, status: int, *, code: str = "", detail: str = "", template: str = ""
) -> HttpResponse:
    """Return the answer for `status` in the form that fits the caller."""
    standard_code, standard = _STANDARD.get(status, ("error", "The request failed."))
    if is_for_machines(request):
        return problem_response(status, code or standard_code, detail or standard)
    name = template or _template_for(status)
    page = _page(request, name, status=status, detail=detail or standard)
    return HttpResponse(page, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django calls suspicious: a malformed Host header, a body over the limit."""
    name = type(exception).__name__
    if name == "DisallowedHost":
        host = "The Host header names a site this is not; see RECONCILER_ALLOWED_HOSTS."
        return failure(request, 400, detail=host)
    if isinstance(exception, BadRequest):
        return failure(request, 400, detail=str(exception))
    return failure(request, 413 if name == "RequestDataTooBig" else 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a refusal."""
    return failure(request, 403, detail=str(exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address, or a thing, that is not there for this caller."""
    # For an unknown address Django puts its list of addresses there: not for strangers.
    said = exception.args[0] if exception.args else ""
    return failure(request, 404, detail=said if isinstance(said, str) else "")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an unexpected error; a database that cannot help it is a 503 to come back to."""
    trouble = trouble_of(sys.exc_info()[1])
    if trouble is None:
        return failure(request, 500)
    if trouble is FULL:
        note_full_database()
    answer = failure(request, 503, code=trouble.code, detail=trouble.detail)
    answer["Retry-After"] = str(trouble.retry_after_seconds)
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that was sent without, or with an outdated, token."""
    detail = "The form was too old or came from elsewhere: reload the page and send it again."
    return failure(request, 403, detail=detail, template="403_csrf.html")


def _template_for(status: int) -> str:
    if status >= 500:
        return "503.html" if status == 503 else "500.html"
    return f"{status}.html" if status in (403, 404) else "400.html"


def _page(request: HttpRequest, name: str, *, status: int, detail: str) -> str:
    """Return the page; a plain one when the designed one cannot be made.

    Pages for 5xx are made without the request, so that they ask no database who is logged in.
    """
    facts = {"status": status, "detail": detail, "exception": detail}
    try:
        return loader.render_to_string(name, facts, request if status < 500 else None)
    except Exception:  # what fails while answering a failure must not hide it
        logger.exception("error_page.failed template=%s", name)
        return _plain_page(status, detail)


def _plain_page(status: int, detail: str) -> str:
    return (
        f"<!doctype html><html lang=en><title>{status}</title><h1>{status}</h1>"
        f"<p>{escape(detail)}</p><p>Correlation id: {escape(current_correlation_id())}</p>"
        "<p><a href=/>Overview</a></p>"
    )
