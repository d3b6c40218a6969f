"""Find the way to a remote: which transport, which final URL, and what its server can do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciliation.remotes.access import Access, open_access
from reconciliation.remotes.base import RemoteHeads, RemoteTarget
from reconciliation.remotes.git import Git
from reconciliation.remotes.lsremote import can_filter, read_heads_with_git
from reconciliation.remotes.protocol import Limits, ServerIsDumb, SmartHttp
from reconciliation.remotes.urls import RemoteUrl, Transport, UrlRules, parse_clone_url

_USER_AGENT = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Way:
    """How git gets to a remote, and whether its server can leave out trees and files."""

    access: Access
    can_filter: bool


class Reach:
    """Knows the rules, keeps the connections, and remembers servers. Thread-safe."""

    def __init__(
        self,
        git: Git,
        *,
        rules: UrlRules,
        limits: Limits,
        block_private_addresses: bool,
        user_agent: str,
    ) -> None:
        if not _USER_AGENT.fullmatch(user_agent):
            raise ValueError("user_agent must be 1 to 100 printable ASCII characters, no spaces")
        self._git = git
        self._rules = rules
        self._limits = limits
        self._block_private_addresses = block_private_addresses
        self._user_agent = user_agent
        self._http = SmartHttp(
            user_agent=user_agent,
            limits=limits,
            block_private_addresses=block_private_addresses,
        )
        self._ssh_filters: dict[str, bool] = {}

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads: by our own client where there is HTTP, else by `git ls-remote`."""
        remote = parse_clone_url(target.clone_url, rules=self._rules)
        if remote.is_http:
            try:
                return self._http.read_heads(remote.url, credential=target.credential)
            except ServerIsDumb:
                pass
        return read_heads_with_git(self._git, self._open(remote, remote.url, target))

    def way_to(self, target: RemoteTarget) -> Way:
        """Return the way to a remote, asking its server what it can do if that is not known."""
        remote = parse_clone_url(target.clone_url, rules=self._rules)
        if remote.is_http:
            try:
                server = self._http.locate(remote.url, credential=target.credential)
            except ServerIsDumb:
                return Way(self._open(remote, remote.url, target), can_filter=False)
            access = self._open(remote, server.base_url, target)
            return Way(access, server.advertisement.can_filter)
        access = self._open(remote, remote.url, target)
        if remote.transport is Transport.FILE:
            return Way(access, can_filter=True)  # we start that server ourselves, and tell it to
        if remote.url not in self._ssh_filters:
            self._ssh_filters[remote.url] = can_filter(self._git, access)
        return Way(access, self._ssh_filters[remote.url])

    def _open(self, remote: RemoteUrl, url: str, target: RemoteTarget) -> Access:
        return open_access(
            remote,
            url=url,
            credential=target.credential,
            connect_timeout_seconds=self._limits.connect_timeout_seconds,
            read_timeout_seconds=self._limits.read_timeout_seconds,
            block_private_addresses=self._block_private_addresses,
            user_agent=self._user_agent,
        )
