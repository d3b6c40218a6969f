"""Observes signs of governance over branches, what was merged from them, and their run records."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from governance.selectors.branch_facts import BranchKey, BranchRow
from governance.selectors.change_facts import (
    gates_by_sha,
    pull_requests_by_branch,
    running_runs_by_branch,
    runs_by_head,
)
from governance.selectors.lease_facts import leases_at, leases_by_branch
from governance.selectors.visible import PullRequest
from governance.services.policies import PolicyResolver
from reconciliation.domain.codec import decode
from reconciliation.domain.facts import GateFact, MissingRunFacts, Push
from reconciliation.remotes.base import Remote
from reconciliation.services.observe.aliases import names_in, with_aliases
from reconciliation.services.observe.known import (
    Repositories,
    class_of,
    held_class_of,
    known_branches,
    place_of,
)
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
from reconciliation.services.observe.values import Batch, Gathered
from reconciliation.services.queue import ClaimedTask


def observe_missing_run(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather the signs of governance over branches and the run records they have.

    A run record counts wherever it was made: that of a merge may well be the target's.
    """
    batch, keys, rows = known_branches(tasks, with_default_of=repositories)
    leases, requests = leases_by_branch(keys, now=now), pull_requests_by_branch(keys)
    shas = {key: _shas(rows[key], requests.get(key, [])) for key in keys}
    wanted = {(key[0], sha) for key, some in shas.items() for sha in some}
    running, ended, gates = running_runs_by_branch(keys), runs_by_head(wanted), gates_by_sha(wanted)
    pushes = {key: _head_push(rows[key]) for key in keys}
    at_push = leases_at({key: [push.at] for key, push in pushes.items() if push is not None})
    for key, task in keys.items():
        row, repository = rows[key], repositories[key[0]]
        policy = policies.for_branch(*key)
        known = [pull_request_fact(one) for one in requests.get(key, [])]
        runs = {one.pk: one for one in running.get(key, [])} | {
            one.pk: one for sha in shas[key] for one in ended.get((key[0], sha), [])
        }
        bases = sorted({one.base_branch for one in known if one.base_branch})
        facts = MissingRunFacts(
            place=place_of(task),
            branch_class=held_class_of(key[1], row, repository, policy),
            observed_head=row.observed_head,
            governed_head=row.governed_head,
            head_changed_at=row.observed_at or row.first_seen_at,
            runs=tuple(run_fact(one) for one in sorted(runs.values(), key=lambda one: one.run_id)),
            leases=tuple(lease_fact(one) for one in leases.get(key, [])),
            gates=tuple(
                GateFact(gate.context, gate.sha, gate.state)
                for sha in shas[key]
                for gate in gates.get((key[0], sha), [])
            ),
            pull_requests=tuple(known),
            base_classes=tuple(
                (base, class_of(base, repository, policies.for_branch(key[0], base)))
                for base in bases
            ),
            same_as=_same_as(key, rows, repository.default_branch),
            came_by=_came_by(row),
            head_push=pushes[key],
            push_leases=tuple(lease_fact(one) for one in at_push.get(key, [])),
            base_gates=tuple(
                (base, policies.for_branch(key[0], base).changes.required_gates) for base in bases
            ),
        )
        batch.gathered.append(Gathered(task, facts, policy))
    batch.gathered = with_aliases(batch.gathered, repositories, names_of=_names)
    return batch


def _names(facts: MissingRunFacts) -> set[str]:
    """Return the names that the rules compare: none where no run is about them."""
    if not facts.runs or facts.head_push is None:
        return set()
    return names_in(facts.runs, facts.push_leases, [facts.head_push])


def _came_by(row: BranchRow) -> str:
    is_merge = row.governed_by.startswith(("pull_request:", "update:"))
    return row.governed_by if is_merge and row.governed_head == row.observed_head else ""


def _head_push(row: BranchRow) -> Push | None:
    """Return the push that brought the head; None for a head that has not moved since connected."""
    if row.observed_head is None or not row.head_changes:
        return None
    pushes = [decode(Push, one) for one in row.pushes if one["after"] == row.observed_head]
    if pushes:
        return pushes[-1]
    return Push(row.pusher, None, row.observed_head, row.observed_at or row.first_seen_at)


def _shas(row: BranchRow, requests: Sequence[PullRequest]) -> list[str]:
    """Return the commits that a record or a gate may be about, sorted."""
    found = {row.observed_head} | {sha for one in requests for sha in (one.head_sha, one.merge_sha)}
    return sorted(sha for sha in found if sha)


def _same_as(key: BranchKey, rows: Mapping[BranchKey, BranchRow], default_branch: str) -> str:
    """Return the default branch's name when it is at this branch's head.

    Where it is, not what governance holds of it: that moves in the course of these very checks,
    and what is decided of one branch must not hang on which was checked first.
    """
    head, other = rows[key].observed_head, rows.get((key[0], default_branch))
    if key[1] == default_branch or other is None or head is None:
        return ""
    return default_branch if other.observed_head == head else ""
