"""Replaying where there is nothing yet, what cannot be asked, and other sizes of batches."""

from io import StringIO
from random import Random

import pytest
from django.core.management import CommandError, call_command

from reconciliation.services.replay import Checked, Scope, replay
from tests.determinism.state import build_state, reconcile

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("replay", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.parametrize("batch", [1, 7])
def test_the_size_of_batches_leaves_no_trace_in_decisions(db: None, batch: int) -> None:
    reconcile(build_state(Random(2)), workers=1, batch=batch)

    assert list(replay(Scope(), checked=Checked())) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--all", "--since", "yesterday"),
        ("--all", "--since", "2026-02-30T12:00:00"),
        ("--task", "1", "--since", "7d"),
        (),
        ("--all", "--task", "1"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)


@pytest.mark.parametrize("arguments", [("--sweep", "1"), ("--task", "1"), ("--correlation", "x")])
def test_the_command_says_when_there_is_nothing_such(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no") as refused:
        run(*arguments)

    assert refused.value.returncode == 2


def test_an_empty_history_is_no_difference(db: None) -> None:
    code, said = run("--all")

    assert (code, said) == (0, "0 worklists, 0 keys and 0 decisions recomputed: no differences\n")
