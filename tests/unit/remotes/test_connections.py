"""Which addresses count as public."""

from __future__ import annotations

import socket

import pytest

from reconciliation.remotes.base import RemoteRefused, RemoteUnavailable
from reconciliation.remotes.connections import is_public, require_public_address


@pytest.mark.parametrize("address", ["140.82.121.4", "2606:50c0:8000::153", "::ffff:140.82.121.4"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:0a00:0001::1",
    ],
)
def test_private_and_special_addresses_are_not(address: str) -> None:
    assert not is_public(address)


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two_faces(*arguments: object, **options: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("140.82.121.4", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", two_faces)

    with pytest.raises(RemoteRefused, match="private address"):
        require_public_address("h.example", 443)


def test_a_name_nobody_knows_is_a_temporary_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(RemoteUnavailable, match="cannot be looked up"):
        require_public_address("h.example", 443)
