"""What hosts never announce is listed for each of them, with how and when we learned it."""

import pytest

from reconciliation.webhooks.blind_spots import (
    MIB,
    Evidence,
    answers_oversized_with_success,
    blind_spots_of,
    body_cap_bytes,
)
from reconciliation.webhooks.hosts import HostKind


@pytest.mark.parametrize("host", list(HostKind))
def test_every_host_has_its_blind_spots_in_words(host: HostKind) -> None:
    spots = blind_spots_of(host)

    assert spots
    assert len({spot.subject for spot in spots}) == len(spots)
    assert all(20 <= len(spot.words) <= 200 for spot in spots)


@pytest.mark.parametrize("host", list(HostKind))
def test_only_what_was_checked_has_a_date(host: HostKind) -> None:
    for spot in blind_spots_of(host):
        assert (spot.checked_on is None) == (spot.evidence is Evidence.RECALLED)


def test_the_limits_that_lose_pushes_are_named() -> None:
    words = " ".join(spot.words for host in HostKind for spot in blind_spots_of(host))

    for limit in ("5,000 branches", "3 tags", "25 MB", "256 KB", "3 branches or tags"):
        assert limit in words


def test_github_may_send_25_mib_and_the_others_3() -> None:
    caps = {host: body_cap_bytes(host) for host in HostKind}

    assert caps.pop(HostKind.GITHUB) == 25 * MIB
    assert set(caps.values()) == {3 * MIB}


def test_only_gitlab_is_answered_with_success_when_it_sends_too_much() -> None:
    assert [host for host in HostKind if answers_oversized_with_success(host)] == [HostKind.GITLAB]
