"""Gathers the evidence of merged work for branches that moved on: set-based reads, then the mirror.

Only for branches whose run records alone do not lead from the governed to the observed head.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from governance.domain.policy import Policy
from governance.selectors.branch_facts import BranchKey, BranchRow, branches_by_key
from governance.selectors.change_facts import (
    gates_by_sha,
    guarded_heads,
    merges_at,
    runs_by_branch,
)
from governance.selectors.lease_facts import leases_at
from governance.selectors.visible import PullRequest
from reconciliation.domain.codec import decode
from reconciliation.domain.facts import GateFact, MergeFact, Push, RunFact, UpdateFact
from reconciliation.evaluators.drift_class import GUARDED
from reconciliation.remotes.base import Relation, Remote, RemoteTarget
from reconciliation.services.observe.merges import Line, Source, merges_on, updates_on
from reconciliation.services.observe.rows import lease_fact, run_fact

MOST_RANGES = 10
"""How many runs of a branch are asked whether the heads lie inside them."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the database knows for the lines of a batch."""

    requests: Mapping[BranchKey, Sequence[PullRequest]] = field(default_factory=dict)
    sources: Mapping[tuple[int, int], Source] = field(default_factory=dict)
    """By repository and number of the pull request."""
    governed: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """The governed heads of default and protected branches, by repository."""


@dataclass(frozen=True, slots=True)
class MergedWork:
    """What leads to a head beside run records, and what of the change is not governed elsewhere."""

    merges: tuple[MergeFact, ...] = ()
    updates: tuple[UpdateFact, ...] = ()
    inside_runs: tuple[str, ...] = ()
    governed_commits: int = 0
    own_paths: tuple[str, ...] | None = None
    own_paths_known: bool = True


def candidates_of(
    lines: Mapping[BranchKey, Line],
    policy_of: Mapping[BranchKey, Policy],
    *,
    seen_at: Mapping[BranchKey, datetime],
) -> Candidates:
    """Return the merges that hosts announced on these lines, with what is known of their branches.

    `seen_at` is when the head of each line was observed. A constant number of statements; none
    without lines.
    """
    if not lines:
        return Candidates()
    requests = merges_at({key: set(line.commits[1:]) for key, line in lines.items()})
    from_here = {
        (row.repository_id, row.number): row
        for some in requests.values()
        for row in some
        if not row.from_fork
    }
    keys = {pk: (row.repository_id, row.head_branch) for pk, row in from_here.items()}
    rows, runs = branches_by_key(keys.values()), runs_by_branch(keys.values())
    pushes = {
        pk: _pushes_to(rows[key], from_here[pk].head_sha) if key in rows else ()
        for pk, key in keys.items()
    }
    moments: dict[BranchKey, list[datetime]] = defaultdict(list)
    for pk, key in keys.items():
        moments[key] += [push.at for push in pushes[pk]]
    leases = leases_at({key: some for key, some in moments.items() if some})
    required = {
        (key[0], row.number): set(policy_of[key].changes.required_gates)
        for key, some in requests.items()
        for row in some
    }
    shas = {(pk[0], sha) for pk, row in from_here.items() for sha in (row.head_sha, row.merge_sha)}
    gates = gates_by_sha(shas) if any(required.values()) else {}
    merged_at = {
        (row.repository_id, row.number): seen_at[key]
        for key, some in sorted(requests.items())
        for row in some
    }
    sources = {
        pk: Source(
            runs=tuple(
                run_fact(one, counted_before=merged_at[pk]) for one in runs.get(keys[pk], ())
            ),
            pushes=pushes[pk],
            leases=tuple(lease_fact(one) for one in leases.get(keys[pk], ())),
            gates=tuple(
                GateFact(gate.context, gate.sha, gate.state)
                for sha in sorted({row.head_sha, row.merge_sha} - {""})
                for gate in gates.get((pk[0], sha), ())
                if gate.context in required[pk]
            ),
        )
        for pk, row in from_here.items()
    }
    return Candidates(requests, sources, guarded_heads({key[0] for key in lines}))


def work_of(
    remote: Remote,
    target: RemoteTarget,
    key: BranchKey,
    line: Line | None,
    candidates: Candidates,
    *,
    runs: Sequence[RunFact],
    heads: tuple[str, str],
    branch_class: str,
) -> MergedWork:
    """Return what leads from the one head to the other beside run records.

    A default or protected branch takes nothing in unseen: there, an update is a change like others.
    """
    inside = _inside_runs(remote, target, runs, heads)
    if line is None:
        return MergedWork(inside_runs=inside)
    sources = {number: one for (pk, number), one in candidates.sources.items() if pk == key[0]}
    merges = merges_on(remote, target, line, candidates.requests.get(key, ()), sources)
    if branch_class in GUARDED:
        return MergedWork(merges, inside_runs=inside)
    elsewhere = {
        name: head for name, head in candidates.governed.get(key[0], {}).items() if name != key[1]
    }
    updates = updates_on(remote, target, line, elsewhere)
    return MergedWork(
        merges,
        updates.facts,
        inside,
        updates.governed_commits,
        updates.paths,
        updates.paths_known,
    )


def _inside_runs(
    remote: Remote, target: RemoteTarget, runs: Sequence[RunFact], heads: tuple[str, str]
) -> tuple[str, ...]:
    """Return the runs that reach from the governed head or before to the observed one or beyond."""
    governed, observed = heads
    succeeded = [run for run in runs if run.status == "succeeded" and run.head_sha.strip("0")]
    likely = [run for run in succeeded if run.base_sha == governed or run.head_sha == observed]
    others = [run for run in succeeded[::-1] if run not in likely]
    asked = [run for run in [*likely, *others][:MOST_RANGES] if run.base_sha.strip("0")]
    pairs = {(run.base_sha, governed) for run in asked}
    pairs |= {(observed, run.head_sha) for run in asked}
    relations = remote.compare(target, sorted(pairs)) if pairs else {}
    on_the_line = {Relation.SAME, Relation.ANCESTOR}
    return tuple(
        sorted(
            run.run_id
            for run in asked
            if relations[run.base_sha, governed].relation in on_the_line
            and relations[observed, run.head_sha].relation in on_the_line
        )
    )


def _pushes_to(row: BranchRow, head: str) -> tuple[Push, ...]:
    """Return the pushes that led to a head, as far as the branch still knows them."""
    pushes = [decode(Push, one) for one in row.pushes]
    places = [place for place, push in enumerate(pushes) if push.after == head]
    if places:
        return tuple(pushes[: places[-1] + 1])
    if row.observed_head == head and row.observed_at and row.head_changes:
        return (Push(row.pusher, None, head, row.observed_at),)
    if row.previous_head == head and row.previous_observed_at:
        return (Push(row.previous_pusher, None, head, row.previous_observed_at),)
    return ()
