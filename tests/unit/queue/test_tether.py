"""The line between supervisor and workers: progress one way, the wish to stop the other."""

from collections.abc import Iterator

import pytest

from reconciliation.services.tether import VARIABLE, SupervisorsEnd, tether_of


@pytest.fixture
def line() -> Iterator[SupervisorsEnd]:
    end = SupervisorsEnd("c1")
    yield end
    end.close()


def test_a_worker_finds_its_end_in_the_environment(line: SupervisorsEnd) -> None:
    assert tether_of(line.tether.as_environment()) == line.tether


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_a_worker_that_nobody_supervises_has_none(environment: dict[str, str]) -> None:
    assert tether_of(environment) is None


def test_progress_is_seen_once(line: SupervisorsEnd) -> None:
    assert not line.saw_progress()
    line.tether.report_progress()
    line.tether.report_progress()

    assert line.saw_progress()
    assert not line.saw_progress()


def test_a_supervisor_that_does_not_read_never_blocks_a_worker(line: SupervisorsEnd) -> None:
    for _ in range(100_000):
        line.tether.report_progress()

    assert line.saw_progress()


def test_workers_see_when_they_shall_stop(line: SupervisorsEnd) -> None:
    assert not line.tether.is_told_to_stop()

    line.tell_to_stop()

    assert line.tether.is_told_to_stop()


def test_closing_twice_does_no_harm(line: SupervisorsEnd) -> None:
    line.tell_to_stop()
    line.hand_over()
    line.close()
    line.close()
