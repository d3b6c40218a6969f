"""Make HTTP connections that end in time and, when the operator asks, keep off private networks.

A server that sends one byte every few seconds never meets a read time-out; so every read also
minds the deadline of the whole exchange, from the first header on.

Private addresses are allowed by default, since self-hosted git is normal. When they are blocked, a
host name is looked up once, every address it has must be public, and the connection goes to the
very address that was checked: a name that changes between check and use gains nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from reconciliation.remotes.base import RemoteRefused, RemoteUnavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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


class _Exchange(threading.local):
    """The deadline of the exchange this thread is in, on the monotonic clock."""

    deadline: float = math.inf


_exchange = _Exchange()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Make reads of this thread fail with a time-out once `seconds` have passed."""
    _exchange.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _exchange.deadline = math.inf


def _shorten_timeout(connection: socket.socket) -> None:
    left = _exchange.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the exchange took too long")
    patience = connection.gettimeout()
    if patience is None or left < patience:
        connection.settimeout(left)


class _Socket(socket.socket):
    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        _shorten_timeout(self)
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        _shorten_timeout(self)
        return super().recv_into(buffer, nbytes, flags)


class _HTTPConnection(HTTPConnection):
    only_public = False

    def _new_conn(self) -> socket.socket:
        plain = _connect_publicly(self) if self.only_public else super()._new_conn()
        return _minding_deadlines(plain)


class _HTTPSConnection(HTTPSConnection):
    only_public = False

    def _new_conn(self) -> socket.socket:
        # The TLS socket made of this one minds the deadline.
        return _connect_publicly(self) if self.only_public else super()._new_conn()


class _PublicHTTPConnection(_HTTPConnection):
    only_public = True


class _PublicHTTPSConnection(_HTTPSConnection):
    only_public = True


def _minding_deadlines(plain: socket.socket) -> socket.socket:
    patience = plain.gettimeout()
    minding = _Socket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    minding.settimeout(patience)
    return minding


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


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicHTTPConnection


class _PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPSConnection


def pool_manager(*, block_private_addresses: bool, **options: Any) -> urllib3.PoolManager:
    """Make the connection pool all exchanges of one process share."""
    tls = ssl.create_default_context()
    tls.sslsocket_class = _TlsSocket
    manager = urllib3.PoolManager(ssl_context=tls, **options)
    if block_private_addresses:
        manager.pool_classes_by_scheme = {"http": _PublicHTTPPool, "https": _PublicHTTPSPool}
    else:
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return manager
