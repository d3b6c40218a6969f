"""Whether run records cover a change: an unbroken chain of runs between two heads; pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from reconciliation.domain.facts import RunFact


def covering_runs(runs: Sequence[RunFact], *, base: str | None, head: str) -> tuple[str, ...]:
    """Return the ids of succeeded runs that lead from `base` to `head`, in order; empty when none.

    Of several chains the shortest counts, then the one whose run ids sort first. With no base (a
    branch without a snapshot) any succeeded run that ends at `head` covers it.
    Source: domain rules, "commits covered by run records (base = R … head = O)".
    """
    succeeded = _succeeded(runs)
    if base is None:
        return tuple(run.run_id for run in succeeded if run.head_sha == head)[-1:]
    led_by = _led_by(succeeded, base)
    chain: list[str] = []
    while head in led_by:
        chain.append(led_by[head].run_id)
        head = led_by[head].base_sha
    return tuple(reversed(chain))


def approved_run(runs: Sequence[RunFact], *, base: str | None) -> str:
    """Return the id of the run that last approved a head of the branch; empty when none did.

    That is the last run of the chains that start at `base`; without any, a run that ended there.
    With no base it is the last by id of the branch's succeeded runs.
    """
    succeeded = _succeeded(runs)
    if base is None:
        return max((run.run_id for run in succeeded), default="")
    onward = list(_led_by(succeeded, base).values())
    if onward:
        return onward[-1].run_id
    return max((run.run_id for run in succeeded if run.head_sha == base), default="")


def _succeeded(runs: Iterable[RunFact]) -> list[RunFact]:
    found = [run for run in runs if run.status == "succeeded" and run.head_sha]
    return sorted(found, key=lambda run: (run.run_id, run.base_sha, run.head_sha))


def _led_by(succeeded: Sequence[RunFact], base: str) -> dict[str, RunFact]:
    """Return every head that chains from `base` reach, nearest first, with the run it came by.

    Indexed by base, so that a branch with thousands of runs costs one look at each of them.
    """
    onward: dict[str, list[RunFact]] = defaultdict(list)
    for run in succeeded:
        onward[run.base_sha].append(run)
    found: dict[str, RunFact] = {}
    frontier = [base]
    while frontier:
        steps = sorted(
            (run for sha in frontier for run in onward.get(sha, ())),
            key=lambda run: (run.run_id, run.base_sha, run.head_sha),
        )
        frontier = []
        for run in steps:
            if run.head_sha != base and run.head_sha not in found:
                found[run.head_sha] = run
                frontier.append(run.head_sha)
    return found
