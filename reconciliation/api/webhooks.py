"""The webhook receiver's door: bytes in, one service call, a structured answer out.

A DRF view, so that it stands in the schema, with everything off that a signed request does not
need: no authentication classes (the signature is the proof), no parsers (the exact bytes count), no
content negotiation, no throttle.
"""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.correlation import current_correlation_id
from governance.domain.encryption import WrongKey
from reconciler_site.base.problems import problem_response
from reconciliation.services.intake import BadBody, BadSignature, Received, receive
from reconciliation.services.refusals import expect_sweep, refuse
from reconciliation.services.sources import LiveSource, SourceNotFound, live_source
from reconciliation.webhooks.blind_spots import (
    MIB,
    answers_oversized_with_success,
    body_cap_bytes,
)
from reconciliation.webhooks.dialects import detect_host
from reconciliation.webhooks.headers import ENCODED, Headers
from reconciliation.webhooks.hosts import HostKind

_MOST_READ_AWAY = 32 * MIB
_PIECE = 64 * 1024
logger = logging.getLogger("reconciler.webhooks")


class WebhookView(APIView):
    """Receives one delivery of a git host."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes = ()
    throttle_classes = ()

    @extend_schema(
        summary="Receive a webhook delivery",
        description=(
            "The address of a webhook source. The raw body is verified with the source's live"
            " secrets, stored, and planned as work. Anything understood is answered 2xx, also when"
            " it asks for nothing."
        ),
        request=OpenApiTypes.BYTE,
        responses={
            202: OpenApiResponse(
                OpenApiTypes.OBJECT,
                examples=[
                    OpenApiExample(
                        "accepted",
                        {
                            "outcome": "accepted",
                            "reason": "ok",
                            "delivery": 7,
                            "task": 41,
                            "correlation_id": "0199c0de-0000-7000-8000-000000000001",
                        },
                    )
                ],
            ),
            400: OpenApiTypes.OBJECT,
            401: OpenApiTypes.OBJECT,
            404: OpenApiTypes.OBJECT,
            411: OpenApiTypes.OBJECT,
            413: OpenApiTypes.OBJECT,
            503: OpenApiTypes.OBJECT,
        },
        auth=[],
    )
    def post(self, request: Request, token: str) -> HttpResponseBase:
        """Take one delivery in."""
        return receive_request(request._request, token)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Go straight to the receiver: DRF's request wrapping costs a fifth of the throughput."""
        if request.method == "POST":
            return receive_request(request, kwargs["token"])
        return super().dispatch(request, *args, **kwargs)


def receive_request(request: HttpRequest, token: str) -> HttpResponse:
    """Answer one delivery: 202 accepted, ignored or duplicate; a problem otherwise."""
    now = timezone.now()
    correlation_id = current_correlation_id()
    try:
        source = live_source(token, now=now)
    except SourceNotFound as error:
        return problem_response(404, "unknown_source", str(error))
    except WrongKey as error:
        # Not the host's fault: it is told to come back, and the log tells who has to act.
        logger.error("webhook.secret_unreadable error=%s", error)
        answer = problem_response(
            503, "secret_unreadable", "The source's secrets cannot be read just now."
        )
        answer["Retry-After"] = "60"
        return answer
    headers = _headers_of(request)
    try:
        body = _body_within_cap(request, source.host)
    except NoBody as error:
        refuse(source, error.code, headers, correlation_id=correlation_id, now=now)
        return problem_response(error.status, error.code, str(error))
    if body is None:
        return _too_large(request, source, headers, correlation_id, now=now)
    try:
        received = receive(
            source,
            headers,
            body,
            correlation_id=correlation_id,
            coalesce=timedelta(seconds=settings.WEBHOOK_COALESCE_SECONDS),
            now=now,
        )
    except BadSignature as error:
        advice = _advice(source, headers, error.reason)
        return problem_response(401, error.reason, f"{error} {advice}".rstrip())
    except BadBody as error:
        if answers_oversized_with_success(source.host):
            return _answer(Received("ignored", error.code, correlation_id, error.delivery, None))
        return problem_response(
            400,
            error.code,
            str(error),
            errors=[{"pointer": error.where}],
            extra={"delivery": error.delivery},
        )
    return _answer(received)


def _headers_of(request: HttpRequest) -> Headers:
    # Django's `request.headers` puts every name into title case first; case does not count here.
    return Headers(
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, value in request.META.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    )


class NoBody(Exception):
    """The request's body did not arrive; that says nothing about its sender's secret."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def _body_within_cap(request: HttpRequest, host: HostKind) -> bytes | None:
    """Return the raw body, or None when it is over the host's cap; never buffers more than that.

    Raises:
        NoBody: cut short on its way, or sent without a length by a server that cannot tell its end.
    """
    cap = body_cap_bytes(host)
    declared = request.META.get("CONTENT_LENGTH") or ""
    if not declared.isdecimal():
        if "HTTP_TRANSFER_ENCODING" not in request.META:
            return b""
        # Sent in chunks: Django reads nothing then, though servers know where such a body ends.
        if not request.META.get("wsgi.input_terminated"):
            raise NoBody(411, "length_required", "Send the body with its Content-Length.")
        chunked: bytes = request.META["wsgi.input"].read(cap + 1)
        return chunked if len(chunked) <= cap else None
    length = int(declared)
    if length > cap:
        return None
    try:
        body: bytes = request.read(length)
    except OSError as error:
        raise NoBody(400, "incomplete_body", f"The body broke off: {error}.") from error
    if len(body) < length:
        raise NoBody(
            400, "incomplete_body", f"Only {len(body)} of the {length} bytes announced arrived."
        )
    return body


def _read_away(request: HttpRequest) -> None:
    """Take what is left of a body off the line and keep none of it, up to 32 MiB.

    A server that answers before it has read breaks the connection under the sender, who then sees
    a failure instead of the answer; GitLab would pause the hook for it. No host sends more.
    """
    declared = request.META.get("CONTENT_LENGTH") or ""
    stream = request if declared.isdecimal() else request.META["wsgi.input"]
    left = _MOST_READ_AWAY
    while left > 0:
        try:
            piece = stream.read(_PIECE)
        except OSError:
            return
        if not piece:
            return
        left -= len(piece)


def _advice(source: LiveSource, headers: Headers, reason: str) -> str:
    if reason in {ENCODED, "repeated_signature"}:
        return ""  # The cause was named, and the secret may well be right.
    speaks = detect_host(headers)
    if speaks is not None and speaks is not source.host:
        return (
            f"The request looks like one of {speaks.value}; this source is for"
            f" {source.host.value}: make a source for the right kind of host."
        )
    return "Compare the secret configured on the host with this source's secrets."


def _too_large(
    request: HttpRequest,
    source: LiveSource,
    headers: Headers,
    correlation_id: str,
    *,
    now: datetime,
) -> HttpResponse:
    _read_away(request)
    refuse(source, "too_large", headers, correlation_id=correlation_id, now=now)
    expect_sweep(source, now=now)
    if answers_oversized_with_success(source.host):
        return _answer(Received("ignored", "too_large", correlation_id, 0, None))
    cap = body_cap_bytes(source.host)
    return problem_response(
        413, "too_large", f"The body is over {cap} bytes; the next sweep reads the heads instead."
    )


def _answer(received: Received) -> HttpResponse:
    members = {
        "outcome": received.outcome,
        "reason": received.reason,
        "delivery": received.delivery or None,
        "task": received.task,
        "correlation_id": received.correlation_id,
    }
    answer = HttpResponse(json.dumps(members), content_type="application/json", status=202)
    if received.delivery:
        answer["Location"] = reverse("api-delivery", kwargs={"delivery_id": received.delivery})
    return answer
