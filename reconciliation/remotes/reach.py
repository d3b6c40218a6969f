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
    """How git gets to a remote, and whether it may fetch there.

    It may where the server can leave out trees and files, or where the operator accepts those.
    """

    access: Access
    may_fetch: bool


class Reach:
    """Knows the rules, keeps the connections, and remembers servers. Thread-safe."""

    def __init__(
        self,
        git: Git,
        *,
        rules: UrlRules,
        limits: Limits,
        block_private_addresses: bool,
        allow_unfiltered_fetches: bool,
        fetch_silence_seconds: float,
        user_agent: str,
    ) -> None:
        if not _USER_AGENT.fullmatch(user_agent):
            raise ValueError("user_agent must be 1 to 100 printable ASCII characters, no spaces")
        self._git = git
        self._rules = rules
        self._limits = limits
        self._block_private_addresses = block_private_addresses
        self._allow_unfiltered_fetches = allow_unfiltered_fetches
        self._fetch_silence_seconds = fetch_silence_seconds
        self._user_agent = user_agent
        self._http = SmartHttp(
            user_agent=user_agent,
            limits=limits,
            block_private_addresses=block_private_addresses,
        )
        self._ssh_servers_that_filter: set[str] = set()

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
        """Return the way to a remote, asking its server what it can do if that is not known.

        A server that could not leave out files is asked again each time: an operator who was told
        to switch that on there need not restart anything here.
        """
        remote = parse_clone_url(target.clone_url, rules=self._rules)
        if remote.is_http:
            return self._way_over_http(remote, target)
        access = self._open(remote, remote.url, target)
        if remote.transport is Transport.FILE:
            return Way(access, may_fetch=True)  # we start that server ourselves, and tell it to
        if remote.url not in self._ssh_servers_that_filter and can_filter(self._git, access):
            self._ssh_servers_that_filter.add(remote.url)
        filters = remote.url in self._ssh_servers_that_filter
        return Way(access, may_fetch=filters or self._allow_unfiltered_fetches)

    def _way_over_http(self, remote: RemoteUrl, target: RemoteTarget) -> Way:
        url, filters = remote.url, False
        try:
            server = self._http.locate(url, credential=target.credential)
            if not server.advertisement.can_filter:
                server = self._http.discover(url, credential=target.credential)
            url, filters = server.base_url, server.advertisement.can_filter
        except ServerIsDumb:
            pass
        access = self._open(remote, url, target)
        return Way(access, may_fetch=filters or self._allow_unfiltered_fetches)

    def _open(self, remote: RemoteUrl, url: str, target: RemoteTarget) -> Access:
        return open_access(
            remote,
            url=url,
            credential=target.credential,
            connect_timeout_seconds=self._limits.connect_timeout_seconds,
            silence_seconds=self._fetch_silence_seconds,
            block_private_addresses=self._block_private_addresses,
            user_agent=self._user_agent,
        )
