"""The webhook receiver's short way in: past what only browsers and callers of the API need.

A signed request has no session, no cookie, no form, no page and no need for a Host header. What
every answer has stays: the correlation id, problem details, metrics, and the log of errors.
"""

import re
from collections.abc import Callable
from typing import Final

from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch
from django_prometheus.middleware import PrometheusAfterMiddleware

from reconciler_site.middleware import ProblemMiddleware
from reconciliation.api.webhooks import WebhookView

Handler = Callable[[HttpRequest], HttpResponse]
# The same addresses as in `reconciliation.api.urls`: `reverse` and the schema need them there.
ADDRESS: Final = re.compile(r"/api/v1/webhooks/([^/]+)/?")


class ReceiverPath:
    """Answers deliveries here and hands everything else on.

    It stands behind the correlation id and the metrics' first half, and before everything that
    looks at cookies, pages or hosts. Two thirds of the stack's cost go to those.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self._view = WebhookView.as_view()
        self._metrics = PrometheusAfterMiddleware(convert_exception_to_response(self._deliver))
        self._receive = ProblemMiddleware(self._metrics)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a delivery, or hand the request on."""
        if request.method != "POST" or ADDRESS.fullmatch(request.path_info) is None:
            return self.get_response(request)
        answer = self._receive(request)
        # The security middleware, which is passed over, would say this on every answer.
        answer["X-Content-Type-Options"] = "nosniff"
        # And the common one this: without it, servers send the few bytes in chunks.
        answer["Content-Length"] = str(len(answer.content))
        return answer

    def _deliver(self, request: HttpRequest) -> HttpResponseBase:
        token = request.path_info.rstrip("/").rpartition("/")[2]
        match = ResolverMatch(self._view, (), {"token": token}, url_name="webhook")
        request.resolver_match = match
        self._metrics.process_view(request, self._view)
        try:
            return self._view(request, token=token)
        except Exception as error:
            self._metrics.process_exception(request, error)
            raise
