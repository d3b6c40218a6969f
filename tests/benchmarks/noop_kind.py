"""A kind of task that does nothing, for benchmarks: no facts but its place, always one decision.

All the rest is done as for any task: claim, attempt, evaluation with its facts, audit entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from governance.domain.policy import Policy
from governance.selectors.branch_facts import RepositoryRow
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import Place
from reconciliation.domain.findings import Decision
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from reconciliation.services import observe
from reconciliation.services.queue import ClaimedTask

NOOP = "noop"


@dataclass(frozen=True, slots=True)
class NoopFacts:
    """Where nothing is done."""

    place: Place


def observe_noop(
    tasks: Sequence[ClaimedTask],
    repositories: Mapping[int, RepositoryRow],
    policies: PolicyResolver,
    *,
    remote: observe.Remote,
    now: datetime,
) -> observe.Batch:
    """Gather nothing."""
    batch = observe.Batch()
    for task in tasks:
        place = Place(task.tenant, task.workspace, task.repo, task.branch)
        policy = policies.for_branch(task.repository_id, task.branch)
        batch.gathered.append(observe.Gathered(task, NoopFacts(place), policy))
    return batch


def evaluate_noop(facts: NoopFacts, policy: Policy, now: datetime) -> Decision:
    """Decide nothing."""
    return Decision(decision="nothing", stable_class="nothing", clean=False)


def install() -> None:
    """Add the kind to those that this process knows."""
    observe._OBSERVERS[NOOP] = observe_noop
    EVALUATORS[NOOP] = (NoopFacts, evaluate_noop)
    RULES_VERSIONS[NOOP] = 1
