"""Say how git may reach one remote: transport, credential, address and helper, for one call.

The credential goes into the environment of the process as an HTTP header bound to the URL; the
URL itself goes there too, so that neither is written into a mirror or seen in a process list.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciliation.remotes.base import Credential
from reconciliation.remotes.connections import require_public_address
from reconciliation.remotes.protocol import authorization
from reconciliation.remotes.urls import RemoteUrl, Transport


@dataclass(frozen=True, slots=True)
class Access:
    """The open way to one remote; valid for the calls of one task."""

    url: str
    transport: Transport
    arguments: tuple[str, ...]
    config: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


def open_access(
    remote: RemoteUrl,
    *,
    url: str,
    credential: Credential | None,
    connect_timeout_seconds: float,
    silence_seconds: float,
    block_private_addresses: bool,
    user_agent: str,
) -> Access:
    """Return the way to `remote`, whose final address (after a redirect) is `url`.

    Raises RemoteRefused when private addresses are blocked and the host has one; otherwise git is
    held to the address that was checked.
    """
    address = ""
    if block_private_addresses and remote.transport is not Transport.FILE:
        address = require_public_address(remote.host, remote.port)
    config: dict[str, str] = {}
    environment: dict[str, str] = {}
    arguments: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    if remote.is_http:
        config |= _http_config(
            remote, address, silence_seconds=silence_seconds, user_agent=user_agent
        )
        if credential is not None:
            header = authorization(credential)
            config[f"http.{url}.extraHeader"] = f"Authorization: {header}"
            secrets = (credential.secret, header.removeprefix("Basic "))
    elif remote.transport is Transport.SSH:
        environment["GIT_SSH_VARIANT"] = "ssh"
        environment["GIT_SSH_COMMAND"] = _ssh_command(
            remote, address, connect_timeout_seconds=connect_timeout_seconds
        )
    else:
        arguments = (f"--upload-pack={_local_upload_pack(url)}",)
    return Access(url, remote.transport, arguments, config, environment, secrets)


def _http_config(
    remote: RemoteUrl, address: str, *, silence_seconds: float, user_agent: str
) -> dict[str, str]:
    config = {
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(max(1, int(silence_seconds))),
        "http.userAgent": user_agent,
    }
    if address:
        shown = f"[{address}]" if ":" in address else address
        config["http.curloptResolve"] = f"{remote.host.strip('[]')}:{remote.port}:{shown}"
    if certificates := os.environ.get("SSL_CERT_FILE"):
        config["http.sslCAInfo"] = certificates
    return config


def _ssh_command(remote: RemoteUrl, address: str, *, connect_timeout_seconds: float) -> str:
    """Return an ssh that never asks, gives up on silence, and may be held to one address."""
    options = [
        "BatchMode=yes",
        f"ConnectTimeout={max(1, int(connect_timeout_seconds))}",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
    ]
    if address:
        options += [f"HostName={address}", f"HostKeyAlias={remote.host.strip('[]')}"]
    return " ".join(["ssh", *(f"-o {shlex.quote(option)}" for option in options)])


def _local_upload_pack(path: str) -> str:
    """Serve a folder of this machine, whoever owns it, and let it give single objects.

    The folder passed the allow-list, so its owner need not be us. `--strict` keeps git from
    trying other spellings of the path than the one that was checked.
    """
    settings = (
        f"safe.directory={path}",
        "uploadpack.allowFilter=true",
        "uploadpack.allowAnySHA1InWant=true",
    )
    words = ["git", *(word for setting in settings for word in ("-c", setting))]
    return shlex.join([*words, "upload-pack", "--strict"])
