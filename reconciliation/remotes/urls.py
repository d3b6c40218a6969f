"""Decide which clone URLs may be read at all, and split them; no name is looked up here.

An allow-list: https anywhere, http to loopback (or where the operator allows it), ssh, and paths
below folders the operator named. Everything else is refused, above all what git itself would
run as a program (`ext::`, other `helper::address` forms, leading dashes).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from reconciliation.remotes.base import RemoteRefused

_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>\[[^\]/]+\]|[^@/:\[\]]+):(?P<path>.+)")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_SSH_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
# `https:/host/x` and `javascript:x` have the form host:path, but nobody means them so.
_NOT_HOSTS = frozenset({"data", "file", "ftp", "git", "http", "https", "javascript", "ssh"})
_MAX_LENGTH = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}


class Transport(StrEnum):
    """How a remote is reached; the values are git's own names in GIT_ALLOW_PROTOCOL."""

    HTTPS = "https"
    HTTP = "http"
    SSH = "ssh"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A clone URL that passed: what to hand to git, and where it leads.

    `url` is spelled so that git cannot read it as anything else; `host` and `port` are empty and
    0 for a path.
    """

    transport: Transport
    url: str
    host: str = ""
    port: int = 0

    @property
    def is_http(self) -> bool:
        """Say whether our own HTTP client can speak to it."""
        return self.transport in (Transport.HTTPS, Transport.HTTP)


@dataclass(frozen=True, slots=True)
class UrlRules:
    """What the operator allows beyond https and ssh."""

    allowed_local_roots: Sequence[Path] = ()
    allow_insecure_http: bool = False


def parse_clone_url(text: str, *, rules: UrlRules) -> RemoteUrl:
    """Return the parsed URL or raise RemoteRefused, saying what is wrong and the way out."""
    _refuse_dangerous_spelling(text)
    if text.startswith("/"):
        return _parse_path(text, rules)
    if " " in text:
        raise RemoteRefused("clone URL holds a space; write it as %20")
    if scheme := _SCHEME.match(text):
        return _parse_scheme(text, scheme[1].lower(), rules)
    if scp_like := _SCP_LIKE.fullmatch(text):
        return _parse_scp_like(text, scp_like)
    raise RemoteRefused("clone URL is neither https://, ssh://, user@host:path nor a full path")


def _refuse_dangerous_spelling(text: str) -> None:
    if not text or len(text) > _MAX_LENGTH:
        raise RemoteRefused(f"clone URL must have 1 to {_MAX_LENGTH} characters")
    if not text.isprintable() or "\\" in text:
        raise RemoteRefused("clone URL holds a backslash, a line break or a control character")
    if text.startswith("-"):
        raise RemoteRefused("clone URL starts with a dash: git would take it for an option")
    if _HELPER.match(text):
        raise RemoteRefused("clone URL names a transport helper (`name::address`)")


def _parse_scheme(text: str, scheme: str, rules: UrlRules) -> RemoteUrl:
    match scheme:
        case "https" | "http":
            return _parse_http(text, scheme, rules)
        case "ssh":
            return _parse_ssh(text)
        case "file":
            return _parse_file_url(text, rules)
    raise RemoteRefused(f"clone URL scheme {scheme!r} is not allowed; use https or ssh")


def _parse_http(text: str, scheme: str, rules: UrlRules) -> RemoteUrl:
    host, port, path, userinfo = _split_authority(text, scheme)
    if ":" in userinfo:
        raise RemoteRefused("clone URL holds a password; store it as a credential instead")
    if scheme == "http" and not (rules.allow_insecure_http or is_loopback_name(host)):
        raise RemoteRefused("http:// sends code and credentials in the clear; use https://")
    # A bare user name (Azure DevOps puts one there) is dropped: the credential names the user.
    safe_path = quote(path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    shown_port = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return RemoteUrl(Transport(scheme), f"{scheme}://{host}{shown_port}{safe_path}", host, port)


def _parse_ssh(text: str) -> RemoteUrl:
    host, port, path, user = _split_authority(text, "ssh")
    if ":" in user:
        raise RemoteRefused("clone URL holds a password; ssh uses the key of the service account")
    _require_ssh_parts(user, path.lstrip("/"))
    at = f"{user}@" if user else ""
    shown_port = "" if port == _DEFAULT_PORTS["ssh"] else f":{port}"
    return RemoteUrl(Transport.SSH, f"ssh://{at}{host}{shown_port}{path}", host, port)


def _parse_scp_like(text: str, parts: re.Match[str]) -> RemoteUrl:
    host = _require_host(parts["host"])
    if host.lower() in _NOT_HOSTS:
        raise RemoteRefused(f"clone URL starts with {host}: but has not the form of such a URL")
    _require_ssh_parts(parts["user"] or "", parts["path"])
    return RemoteUrl(Transport.SSH, text, host, _DEFAULT_PORTS["ssh"])


def _require_ssh_parts(user: str, path: str) -> None:
    if user and not _SSH_USER.fullmatch(user):
        raise RemoteRefused("clone URL holds a strange ssh user name")
    if not path or path.startswith("-"):
        raise RemoteRefused("clone URL needs a path, and one that does not start with a dash")


def _split_authority(text: str, scheme: str) -> tuple[str, int, str, str]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise RemoteRefused("clone URL has a bad host or port") from error
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise RemoteRefused("clone URL must not have a query or a fragment")
    userinfo, _, address = parts.netloc.rpartition("@")
    bracketed = address.startswith("[")
    host = _require_host(f"[{parts.hostname}]" if bracketed else parts.hostname or "")
    if not parts.path.strip("/"):
        raise RemoteRefused("clone URL names a host but no repository")
    return host, _DEFAULT_PORTS[scheme] if port is None else port, parts.path, userinfo


def _require_host(host: str) -> str:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise RemoteRefused("clone URL has a bad IPv6 address") from error
        return host
    if not _HOST_NAME.fullmatch(host) or ".." in host:
        raise RemoteRefused("clone URL has no plain host name (write other alphabets as punycode)")
    return host


def is_loopback_name(host: str) -> bool:
    """Say whether a host, as written in a URL, can only be this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parse_file_url(text: str, rules: UrlRules) -> RemoteUrl:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise RemoteRefused("a file URL must have the form file:///full/path")
    path = unquote(parts.path)
    _refuse_dangerous_spelling(path)
    return _parse_path(path, rules)


def _parse_path(text: str, rules: UrlRules) -> RemoteUrl:
    """Allow a folder below an allowed root, compared after every symbolic link is followed."""
    roots = [root.resolve() for root in rules.allowed_local_roots]
    wanted = Path(text)
    spellings = [wanted, wanted / ".git"]
    if wanted.name:
        spellings.append(wanted.with_name(wanted.name + ".git"))
    for spelling in spellings:
        repository = _resolve(spelling)
        if _is_below(repository, roots) and (repository / "HEAD").is_file():
            return RemoteUrl(Transport.FILE, str(repository))
    if not _is_below(_resolve(wanted), roots):
        raise RemoteRefused("clone URL is a path outside the allowed local folders")
    # Allowed but not there (yet): let git say so, so that it reads as "not found".
    return RemoteUrl(Transport.FILE, str(_resolve(wanted)))


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of symbolic links
        raise RemoteRefused("clone URL is a path that cannot be followed") from error


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
