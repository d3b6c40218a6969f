"""What was found out before the time was up is kept, branch by branch."""

from reconciliation.remotes import MemoryRemote, RemoteTarget
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.observe.patience import OutOfTime, PatientRemote
from reconciliation.services.observe.standing import BRANCHES_AT_ONCE, standings_of

URL = "https://git.example.org/acme/api.git"


def oid(number: int) -> str:
    return f"{number:040x}"


def test_branches_that_were_answered_in_time_are_not_lost_with_the_rest() -> None:
    remote = MemoryRemote()
    remote.create(URL)
    remote.push(URL, "main", MemoryCommit(oid(1)), MemoryCommit(oid(2), (oid(1),)))
    heads = {}
    for number in range(BRANCHES_AT_ONCE + 10):
        name = f"topic/{number:04d}"
        heads[name] = oid(100 + number)
        remote.push(URL, name, MemoryCommit(heads[name], (oid(1),)))
    asked: list[int] = []

    def is_first() -> bool:
        asked.append(1)
        return len(asked) == 1

    standings = standings_of(
        PatientRemote(remote, may_ask=is_first),
        RemoteTarget(URL, "1"),
        heads,
        default_branch="main",
        default_head=oid(2),
        idle={},
    )

    assert sorted(standings.known) == sorted(heads)[:BRANCHES_AT_ONCE]
    assert sorted(standings.unknown) == sorted(heads)[BRANCHES_AT_ONCE:]
    assert all(isinstance(error, OutOfTime) for error in standings.unknown.values())
    assert {one.comparison.ahead for one in standings.known.values()} == {1}
