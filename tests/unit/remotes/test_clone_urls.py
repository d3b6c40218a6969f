"""Which clone URLs pass, in which spelling, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.remotes.base import RemoteRefused
from reconciliation.remotes.urls import Transport, UrlRules, parse_clone_url

STRICT = UrlRules()


@pytest.mark.parametrize(
    ("text", "url", "transport", "host", "port"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b.git", "https", "github.com", 443),
        ("https://GitHub.com:443/a/b/", "https://github.com/a/b", "https", "github.com", 443),
        ("https://h.example:8443/a", "https://h.example:8443/a", "https", "h.example", 8443),
        ("HTTPS://h.example/a", "https://h.example/a", "https", "h.example", 443),
        (
            "https://org@dev.azure.com/org/My%20Project/_git/repo",
            "https://dev.azure.com/org/My%20Project/_git/repo",
            "https",
            "dev.azure.com",
            443,
        ),
        ("https://h.example/~u/ä", "https://h.example/~u/%C3%A4", "https", "h.example", 443),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a", "https", "[2001:db8::1]", 443),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/a", "http", "127.0.0.1", 8000),
        ("http://localhost/a", "http://localhost/a", "http", "localhost", 80),
        ("http://[::1]:80/a", "http://[::1]/a", "http", "[::1]", 80),
        ("ssh://git@h.example/a/b", "ssh://git@h.example/a/b", "ssh", "h.example", 22),
        ("ssh://h.example:2222/~/b", "ssh://h.example:2222/~/b", "ssh", "h.example", 2222),
        ("git@github.com:a/b.git", "git@github.com:a/b.git", "ssh", "github.com", 22),
        ("github.com:a/b.git", "github.com:a/b.git", "ssh", "github.com", 22),
    ],
)
def test_allowed_urls_are_spelled_for_git(
    text: str, url: str, transport: str, host: str, port: int
) -> None:
    parsed = parse_clone_url(text, rules=STRICT)

    assert (parsed.url, parsed.transport, parsed.host, parsed.port) == (url, transport, host, port)


REFUSED = [
    "",
    "x",
    "relative/path",
    "./relative",
    "../up",
    "~/home",
    "/etc",
    "/",
    "file:///etc",
    "file://server/share",
    "ext::sh -c touch% /tmp/pwned",
    "fd::17",
    "ssh::git@host/a",
    "::address",
    "transport::https://h.example/a",
    "--upload-pack=touch /tmp/pwned",
    "-oProxyCommand=calc",
    "https://-h.example/a",
    "ssh://-oProxyCommand=calc/a",
    "ssh://git@-oProxyCommand=calc/a",
    "ssh://-l@h.example/a",
    "-l@h.example:a",
    "git@-h.example:a",
    "git@h.example:-a",
    "ssh://h.example/-a",
    "https://user:secret@h.example/a",
    "https://:secret@h.example/a",
    "ssh://user:secret@h.example/a",
    "http://h.example/a",
    "http://127.0.0.1.h.example/a",
    "http://localhost.h.example/a",
    "http://2130706433/a",
    "http://0x7f.1/a",
    "git://h.example/a",
    "ftp://h.example/a",
    "git+ssh://h.example/a",
    "javascript:alert(1)//",
    "https:/h.example/a",
    "file:etc",
    "https://h.example/a?x=1",
    "https://h.example/a?",
    "https://h.example/a#f",
    "https://h.example/",
    "https://h.example",
    "https:///a",
    "https://h.example:99999/a",
    "https://h.example:x/a",
    "https://h..example/a",
    "https://h.exa mple/a",
    "https://h.example/a b",
    "https://münchen.example/a",
    "https://[::g]/a",
    "https://h.example/a\n",
    "https://h.example/a\nb",
    "https://h.example/a\0b",
    "https://h.example/a\tb",
    "https://h.example\\@evil.example/a",
    "https://h.example/\u202ea",
    "git@h.example:a\nb",
    "C:\\repos\\a",
    "https://h.example/" + "a" * 3000,
]


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(RemoteRefused):
        parse_clone_url(text, rules=STRICT)


def test_a_refusal_never_repeats_a_password() -> None:
    with pytest.raises(RemoteRefused) as refusal:
        parse_clone_url("https://user:hunter2@h.example/a", rules=STRICT)

    assert "hunter2" not in refusal.value.message
    assert "credential" in refusal.value.message


def test_http_passes_where_the_operator_allows_it() -> None:
    rules = UrlRules(allow_insecure_http=True)

    assert parse_clone_url("http://h.example/a", rules=rules).transport is Transport.HTTP


@given(st.text(max_size=60))
def test_any_text_either_passes_as_a_safe_spelling_or_is_refused(text: str) -> None:
    try:
        parsed = parse_clone_url(text, rules=STRICT)
    except RemoteRefused:
        return

    assert parsed.transport is not Transport.FILE
    assert not parsed.url.startswith("-")
    assert "::" not in parsed.url.partition("[")[0]
    assert parsed.url.isprintable()


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """Return an allowed folder with one repository in it, beside a forbidden one."""
    for folder in ("allowed/api.git", "allowed/work tree/.git", "forbidden/api.git"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path / "allowed"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("api.git", "api.git"),
        ("api", "api.git"),
        ("api.git/", "api.git"),
        ("../allowed/./api.git", "api.git"),
        ("work tree", "work tree/.git"),
        ("nothing-yet", "nothing-yet"),
    ],
)
def test_a_path_below_an_allowed_folder_passes(repositories: Path, asked: str, found: str) -> None:
    rules = UrlRules(allowed_local_roots=[repositories])

    for text in (f"{repositories}/{asked}", f"file://{repositories}/{asked}".replace(" ", "%20")):
        parsed = parse_clone_url(text, rules=rules)
        assert (parsed.transport, parsed.url) == (Transport.FILE, f"{repositories}/{found}")


@pytest.mark.parametrize(
    "asked", ["../forbidden/api.git", "../forbidden/api", "..", "link", "link/api.git", "loop"]
)
def test_a_path_that_leads_out_of_the_allowed_folder_is_refused(
    repositories: Path, asked: str
) -> None:
    (repositories / "link").symlink_to(repositories.parent / "forbidden")
    (repositories / "loop").symlink_to(repositories / "loop")
    rules = UrlRules(allowed_local_roots=[repositories])

    with pytest.raises(RemoteRefused):
        parse_clone_url(f"{repositories}/{asked}", rules=rules)


def test_an_allowed_folder_may_itself_be_a_link(repositories: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repositories)
    rules = UrlRules(allowed_local_roots=[tmp_path / "link"])

    assert parse_clone_url(f"{tmp_path}/link/api.git", rules=rules).url.endswith("allowed/api.git")
