"""The door of this package: which host speaks, what it announces, what to call the delivery."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from reconciliation.webhooks import (
    azure,
    bitbucket,
    bitbucket_dc,
    generic,
    gitea,
    github,
    gitlab,
    gogs,
)
from reconciliation.webhooks.dialect import KNOWINGLY_IGNORED, UNKNOWN_EVENT, Dialect
from reconciliation.webhooks.events import Announcement, NormalisedEvent
from reconciliation.webhooks.fields import JsonObject
from reconciliation.webhooks.form_body import is_form, payload_of_form
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.refs import as_git_has_it
from reconciliation.webhooks.strict_json import read_json_object

DIALECTS: Final[Mapping[HostKind, Dialect]] = MappingProxyType(
    {
        HostKind.GITHUB: github.DIALECT,
        HostKind.GITLAB: gitlab.DIALECT,
        HostKind.GITEA: gitea.DIALECT,
        HostKind.FORGEJO: gitea.FORGEJO_DIALECT,
        HostKind.GOGS: gogs.DIALECT,
        HostKind.BITBUCKET: bitbucket.DIALECT,
        HostKind.BITBUCKET_DC: bitbucket_dc.DIALECT,
        HostKind.AZURE: azure.DIALECT,
        HostKind.GENERIC: generic.DIALECT,
    }
)

# Forgejo also speaks Gitea, Gitea also speaks Gogs and GitHub: the most particular word comes
# first. Bitbucket Cloud before Data Center, whose X-Request-Id many proxies add to any request.
_TELLING_HEADERS: Final = (
    ("x-forgejo-event", HostKind.FORGEJO),
    ("x-gitea-event", HostKind.GITEA),
    ("x-gogs-event", HostKind.GOGS),
    ("x-github-event", HostKind.GITHUB),
    ("x-gitlab-event", HostKind.GITLAB),
    ("x-hook-uuid", HostKind.BITBUCKET),
    ("x-request-uuid", HostKind.BITBUCKET),
    ("x-event-key", HostKind.BITBUCKET_DC),
    ("x-pagure-topic", HostKind.GENERIC),
    ("webhook-signature", HostKind.GENERIC),
    ("webhook-id", HostKind.GENERIC),
)

_EVENT_NAME: Final = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")
_DELIVERY_ID: Final = re.compile(r"[!-~]{1,200}")


def detect_host(headers: Headers) -> HostKind | None:
    """Return the host that such headers come from, None when they do not tell."""
    for name, host in _TELLING_HEADERS:
        if name in headers:
            return host
    return HostKind.AZURE if headers.get("user-agent", "").startswith("VSServices/") else None


def event_name(host: HostKind, headers: Headers) -> str | None:
    """Return the event's name as far as the headers tell it, without reading the body.

    None where the host names the event only in the body (Azure DevOps, generic), or where the
    header holds no name. Not signed by any host: for display and for delivery ids only.
    """
    name = headers.first_of(DIALECTS[host].event_headers)
    return name if name and _EVENT_NAME.fullmatch(name) else None


def delivery_id(host: HostKind, headers: Headers, body_sha256: str, event_name: str) -> str:
    """Return what makes a retry of this request recognisable, at most 200 characters.

    The host's own id where the headers carry one. Older GitLabs only name the event (X-Gitlab-
    Event-UUID), and give one name to all that follows from it, so the body's digest is added.
    Otherwise the digest and the event's name: two equal bodies within a source are one delivery.
    """
    own = headers.first_of(DIALECTS[host].delivery_headers)
    if own and _DELIVERY_ID.fullmatch(own):
        return own
    event_uuid = headers.get("x-gitlab-event-uuid", "") if host is HostKind.GITLAB else ""
    if _DELIVERY_ID.fullmatch(event_uuid) and len(event_uuid) <= 64:
        return f"{event_uuid}:sha256:{body_sha256}"
    return f"sha256:{body_sha256}:{event_name}"[:200]


def parse(host: HostKind, headers: Headers, body: bytes) -> Announcement:
    """Return what a verified request announced.

    Call it only after `signatures.verify`. Events that are unknown or not about refs are outcome
    "ignored", never an error, and their bodies are not read where the header names the event: hosts
    add events, and some switch a hook off when it is answered with 4xx. Raises MalformedBody, and
    nothing else, for a body that breaks the host's contract.
    """
    dialect = DIALECTS[host]
    name = event_name(host, headers)
    own_id = headers.first_of(dialect.delivery_headers)
    if dialect.event_in_body is None and name is not None and name not in dialect.handled:
        return _ignored(dialect, name, own_id)
    document = _document(dialect, headers, body)
    if dialect.event_in_body is not None:
        name = dialect.event_in_body(document) or name
    if own_id is None and dialect.delivery_in_body is not None:
        own_id = dialect.delivery_in_body(document)
    if name is None or not _EVENT_NAME.fullmatch(name):
        raise MalformedBody("missing_event", "neither headers nor body name the event")
    reader = dialect.handled.get(name)
    if reader is None:
        return _ignored(dialect, name, own_id)
    reading = reader(document)
    for event in reading.events:
        _refuse_bad_names(event)
    return Announcement(
        event_name=name,
        delivery_id=_storable_id(own_id),
        outcome="accepted" if reading.events else "ignored",
        reason=reading.reason,
        events=reading.events,
    )


def _refuse_bad_names(event: NormalisedEvent) -> None:
    """Raise MalformedBody for a ref that no repository can hold; a fork's branches are not ours."""
    request = event.pull_request
    is_foreign = request is not None and request.from_fork
    names: list[tuple[str, str | None]] = [
        ("branch", None if is_foreign else event.branch),
        ("tag", event.tag),
        ("default_branch", event.repository.default_branch),
    ]
    if event.change is not None:
        names.append(("default_branch", event.change.default_branch))
    if event.status is not None:
        names += [("branches", name) for name in event.status.branches]
    if request is not None:
        names.append(("base_branch", request.base_branch))
        names.append(("previous_base_branch", request.previous_base_branch))
        names.append(("head_branch", None if is_foreign else request.head_branch))
    for what, name in names:
        if name:
            as_git_has_it(name, where=f"/{what}")


def _document(dialect: Dialect, headers: Headers, body: bytes) -> JsonObject:
    as_form = dialect.may_be_form and is_form(headers)
    return read_json_object(payload_of_form(body) if as_form else body)


def _ignored(dialect: Dialect, name: str, own_id: str | None) -> Announcement:
    reason = KNOWINGLY_IGNORED if name in dialect.ignored else UNKNOWN_EVENT
    return Announcement(name, _storable_id(own_id), "ignored", reason, ())


def _storable_id(own_id: str | None) -> str | None:
    return own_id if own_id and _DELIVERY_ID.fullmatch(own_id) else None
