"""Whether run records cover a change: an unbroken chain of runs between two heads; pure."""

from collections.abc import Sequence

from reconciliation.domain.facts import RunFact


def covering_runs(runs: Sequence[RunFact], *, base: str | None, head: str) -> tuple[str, ...]:
    """Return the ids of succeeded runs that lead from `base` to `head`, in order; empty when none.

    With no base (a branch without a snapshot) any succeeded run that ends at `head` covers it.
    Source: domain rules, "commits covered by run records (base = R … head = O)".
    """
    succeeded = sorted(
        (run for run in runs if run.status == "succeeded" and run.head_sha),
        key=lambda run: run.run_id,
    )
    if base is None:
        return tuple(run.run_id for run in succeeded if run.head_sha == head)[-1:]
    paths: dict[str, tuple[str, ...]] = {base: ()}
    frontier = [base]
    while frontier and head not in paths:
        reached: list[str] = []
        for run in succeeded:
            if run.base_sha in frontier and run.head_sha not in paths:
                paths[run.head_sha] = (*paths[run.base_sha], run.run_id)
                reached.append(run.head_sha)
        frontier = reached
    return paths.get(head, ())
