"""Keep HTTP connections off private networks, when the operator asks for that.

Off by default, since self-hosted git on a private network is normal. When on, a host name is
looked up once, every address it has must be public, and the connection goes to the very address
that was checked: a name that changes between check and use gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from reconciliation.remotes.base import RemoteRefused, RemoteUnavailable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def require_public_address(host: str, port: int) -> str:
    """Look `host` up and return one address, refusing if any address is not public."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RemoteUnavailable(f"host {host} cannot be looked up") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise RemoteUnavailable(f"host {host} has no address")
    for address in addresses:
        if not is_public(address):
            raise RemoteRefused(f"host {host} leads to a private address, which is not allowed")
    return addresses[0]


def is_public(address: str) -> bool:
    """Say whether an address belongs to the open internet, also when it wraps another one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        wrapped = parsed.ipv4_mapped or parsed.sixtofour
        if wrapped is None and parsed in _NAT64:
            wrapped = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(str(wrapped))
    return parsed.is_global and not parsed.is_multicast


class _PublicHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_publicly(self)


class _PublicHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_publicly(self)


def _connect_publicly(connection: HTTPConnection) -> socket.socket:
    """Do what urllib3's `_new_conn` does, towards an address that was checked."""
    address = require_public_address(connection.host, connection.port)
    try:
        return urllib3.util.connection.create_connection(
            (address, connection.port),
            connection.timeout,
            source_address=connection.source_address,
            socket_options=connection.socket_options,
        )
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection, "connect timed out") from error
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, "connect failed") from error


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTPConnection


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPSConnection


def pool_manager(*, block_private_addresses: bool, **options: Any) -> urllib3.PoolManager:
    """Make the connection pool all exchanges share."""
    manager = urllib3.PoolManager(**options)
    if block_private_addresses:
        manager.pool_classes_by_scheme = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
    return manager
