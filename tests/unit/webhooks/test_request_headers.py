"""Headers are read without case, and only harmless ones are kept."""

import json

import pytest

from reconciliation.webhooks.dialects import delivery_id, detect_host, event_name
from reconciliation.webhooks.headers import KEPT, Headers
from reconciliation.webhooks.hosts import HostKind

DIGEST = "f" * 64


def test_names_have_no_case_and_values_no_outer_blanks() -> None:
    headers = Headers([("X-GitHub-EVENT", " push \t")])

    assert headers["x-github-event"] == "push"
    assert "X-Github-Event" in headers
    assert headers.get("absent") is None


def test_a_repeated_header_keeps_all_its_values_in_order() -> None:
    headers = Headers([("X-A", "1"), ("x-a", "2")])

    assert headers["X-A"] == "1"
    assert headers.every("x-A") == ("1", "2")
    assert len(headers) == 1


def test_a_repr_shows_no_values() -> None:
    assert repr(Headers([("Authorization", "Basic c2VjcmV0")])) == "Headers(['authorization'])"


def test_headers_cannot_be_changed() -> None:
    headers = Headers([("a", "1")])

    with pytest.raises(TypeError):
        headers["a"] = "2"  # type: ignore[index]
    with pytest.raises(AttributeError):
        headers.other = "2"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "secret",
    [
        "authorization",
        "cookie",
        "proxy-authorization",
        "webhook-signature",
        "x-api-key",
        "x-forgejo-signature",
        "x-gitea-signature",
        "x-gitlab-token",
        "x-gogs-signature",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-pagure-signature",
        "x-pagure-signature-256",
        "x-something-new",
    ],
)
def test_credentials_and_unknown_headers_are_never_kept(secret: str) -> None:
    headers = Headers([(secret, "s3cret"), ("X-GitHub-Event", "push")])

    assert headers.kept() == {"x-github-event": "push"}


def test_nothing_on_the_allow_list_is_a_credential() -> None:
    telling = ("signature", "token", "authorization", "cookie", "secret", "password", "key")

    assert [name for name in KEPT if any(word in name for word in telling)] == [
        name for name in KEPT if name in ("x-event-key", "idempotency-key")
    ]


def test_kept_headers_are_sorted_short_and_printable() -> None:
    headers = Headers([("X-Request-Id", "a\x00b\ud800"), ("User-Agent", "x" * 999)])

    kept = headers.kept()

    assert list(kept) == ["user-agent", "x-request-id"]
    assert len(kept["user-agent"]) == 300
    assert kept["x-request-id"] == "a\ufffdb\ufffd"
    json.dumps(kept, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (HostKind.GITHUB, "X-GitHub-Delivery"),
        (HostKind.GITLAB, "Idempotency-Key"),
        (HostKind.GITLAB, "webhook-id"),
        (HostKind.GITEA, "X-Gitea-Delivery"),
        (HostKind.FORGEJO, "X-Forgejo-Delivery"),
        (HostKind.FORGEJO, "X-Gitea-Delivery"),
        (HostKind.GOGS, "X-Gogs-Delivery"),
        (HostKind.BITBUCKET, "X-Request-UUID"),
        (HostKind.BITBUCKET_DC, "X-Request-Id"),
        (HostKind.GENERIC, "webhook-id"),
    ],
)
def test_a_delivery_is_called_what_its_host_calls_it(host: HostKind, name: str) -> None:
    assert delivery_id(host, Headers([(name, "d-1")]), DIGEST, "push") == "d-1"


@pytest.mark.parametrize("host", list(HostKind))
@pytest.mark.parametrize("own", [None, "", "x" * 201, "né", "a b"])
def test_a_delivery_without_a_usable_id_is_called_by_its_body_and_event(
    host: HostKind, own: str | None
) -> None:
    names = ["x-github-delivery", "idempotency-key", "x-gitea-delivery", "x-gogs-delivery"]
    names += ["x-forgejo-delivery", "x-request-uuid", "x-request-id", "webhook-id"]
    headers = Headers([(name, own) for name in names if own is not None])

    assert delivery_id(host, headers, DIGEST, "push") == f"sha256:{DIGEST}:push"


def test_an_older_gitlab_names_the_event_so_the_body_is_added() -> None:
    headers = Headers([("X-Gitlab-Event-UUID", "e-1")])

    assert delivery_id(HostKind.GITLAB, headers, DIGEST, "Push Hook") == f"e-1:sha256:{DIGEST}"


def test_a_delivery_id_of_200_characters_is_the_longest_taken_over() -> None:
    longest = "x" * 200

    name = delivery_id(HostKind.GITHUB, Headers([("x-github-delivery", longest)]), DIGEST, "push")

    assert name == longest


def test_a_long_event_name_does_not_make_a_long_delivery_id() -> None:
    assert len(delivery_id(HostKind.AZURE, Headers([]), DIGEST, "e" * 500)) == 200


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event"], "forgejo"),
        (["x-gitea-event", "x-gogs-event", "x-github-event"], "gitea"),
        (["x-gogs-event", "x-github-event"], "gogs"),
        (["x-github-event"], "github"),
        (["x-gitlab-event", "webhook-signature", "webhook-id"], "gitlab"),
        (["x-event-key", "x-hook-uuid", "x-request-id"], "bitbucket"),
        (["x-event-key", "x-request-id"], "bitbucket_dc"),
        (["x-pagure-topic"], "generic"),
        (["webhook-id"], "generic"),
    ],
)
def test_hosts_that_speak_several_tongues_are_told_by_the_most_particular(
    names: list[str], host: str
) -> None:
    assert detect_host(Headers([(name, "x") for name in reversed(names)])) == host


def test_an_unknown_sender_is_not_guessed() -> None:
    assert detect_host(Headers([("User-Agent", "curl/8"), ("X-Request-Id", "1")])) is None


@pytest.mark.parametrize("junk", ["", "pu\nsh", "pu\x00sh", "é", "x" * 101])
def test_a_header_that_holds_no_name_names_no_event(junk: str) -> None:
    assert event_name(HostKind.GITHUB, Headers([("x-github-event", junk)])) is None


def test_a_name_of_100_characters_is_still_a_name() -> None:
    assert event_name(HostKind.GITHUB, Headers([("x-github-event", "x" * 100)])) == "x" * 100
