"""What is answered where no thread was taken: problem details, or a plain page for people."""

import json
from collections.abc import Mapping
from html import escape

from reconciler_site.base.correlation import correlated
from reconciler_site.base.problems import PROBLEM_JSON, problem_body
from reconciler_site.errors import is_machine_path


class Refusal(Exception):
    """The request is answered at the edge; nothing was done for it."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


def refusal_content(
    refusal: Refusal, *, path: str, accept: str, correlation_id: str
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the answer."""
    with correlated(correlation_id):
        body = problem_body(refusal.status, refusal.code, refusal.detail)
    headers = {
        "X-Correlation-ID": correlation_id,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        # The rest of the request may still be on its way, so nothing else can follow it.
        "Connection": "close",
    }
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if is_machine_path(path) or "text/html" not in accept:
        headers["Content-Type"] = PROBLEM_JSON
        return headers, json.dumps(body).encode()
    headers["Content-Type"] = "text/html; charset=utf-8"
    return headers, _page(body).encode()


def _page(problem: Mapping[str, object]) -> str:
    title = f"{problem['status']} {problem['title']}"
    return (
        f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1>"
        f"<p>{escape(str(problem['detail']))}</p>"
        f"<p>Correlation id: {escape(str(problem['correlation_id']))}</p>"
    )
