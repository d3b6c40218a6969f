"""A made-up history: evaluations of all checks, decided and stored as the worker does it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from audit.domain.canonical import canonical_json, sha256_of
from governance.domain.policy import branch_class_of
from governance.models import Repository
from governance.services.policies import load_policies, remember_policies
from reconciliation.domain.codec import encode
from reconciliation.domain.facts import ChangedPaths, Place
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from reconciliation.models import Evaluation, ReconciliationTask
from tests.factories.reconciliation import TaskFactory
from tests.unit.evaluators.facts import (
    NOON,
    A,
    B,
    gate,
    head_facts,
    lease,
    missing_run_facts,
    place,
    renewal_facts,
    request,
    run,
    stale_facts,
)

BRANCHES = ("main", "release/1", "release/2", "reach/a/1", "topic", "keep-me", "other")


@dataclass(frozen=True, slots=True)
class Occasion:
    """One thing that a check looked at, before anybody decided about it."""

    repository: Repository
    kind: str
    facts: Any
    at: datetime


def occasions(
    repositories: Sequence[Repository], *, number: int, seed: int, until: datetime = NOON
) -> list[Occasion]:
    """Return so many occasions, the same for the same seed, one minute apart."""
    chance = random.Random(seed)
    return [
        _occasion(chance, chance.choice(list(repositories)), until - timedelta(minutes=place))
        for place in range(number)
    ]


def decide_and_store(found: Sequence[Occasion]) -> None:
    """Decide each occasion under the policy in force now, and store it as the worker does."""
    policies = load_policies([one.repository.pk for one in found])
    tasks: dict[tuple[int, str, str], ReconciliationTask] = {}
    rows, used = [], []
    for one in found:
        branch = one.facts.place.branch
        policy = policies.for_branch(one.repository.pk, branch)
        facts = _observed(one, policy)
        decision = encode(EVALUATORS[one.kind][1](facts, policy, one.at))
        key = (one.repository.pk, one.kind, branch)
        if key not in tasks:
            tasks[key] = TaskFactory.create(
                repository=one.repository, branch=branch, task_kind=one.kind
            )
        used.append(policy)
        rows.append(
            Evaluation(
                task=tasks[key],
                task_kind=one.kind,
                evaluated_at=one.at,
                facts=canonical_json(encode(facts)),
                policy_id=policy.digest,
                decision=canonical_json(decision),
                decision_digest=sha256_of(decision),
                rules_version=RULES_VERSIONS[one.kind],
            )
        )
    remember_policies(used, documents=policies.documents, now=NOON)
    Evaluation.objects.bulk_create(rows, batch_size=1000)


def _observed(one: Occasion, policy: Any) -> Any:
    """Give facts the place and the classes that an observation gives them."""

    def class_of(name: str) -> str:
        return branch_class_of(
            name, default_branches={one.repository.default_branch}, policy=policy
        )

    repository, branch = one.repository, one.facts.place.branch
    here = Place(repository.tenant.slug, repository.workspace.slug, repository.slug, branch)
    facts = replace(one.facts, place=here)
    if one.kind == "lease_renewal":
        return facts
    facts = replace(facts, branch_class=class_of(branch))
    if one.kind == "missing_run":
        bases = sorted({request.base_branch for request in facts.pull_requests})
        facts = replace(facts, base_classes=tuple((base, class_of(base)) for base in bases))
    return facts


def _occasion(chance: random.Random, repository: Repository, at: datetime) -> Occasion:
    branch = chance.choice(BRANCHES)
    kind = chance.choice(
        ("head_drift", "head_drift", "stale_branch", "missing_run", "lease_renewal")
    )
    makers = {
        "head_drift": _head,
        "stale_branch": _stale,
        "missing_run": _missing,
        "lease_renewal": _lease,
    }
    facts = next(makers[kind](chance, at))
    return Occasion(repository, kind, replace(facts, place=place(branch)), at)


def _head(chance: random.Random, at: datetime) -> Iterator[Any]:
    yield head_facts(
        chance.choice(["ancestor", "descendant", "diverged", "unrelated", "unknown"]),
        observed_head=chance.choice([B, B, B, None, A]),
        governed_head=chance.choice([A, A, A, None]),
        head_changed_at=at - timedelta(seconds=chance.choice([5, 20, 100, 5000])),
        was_gone=chance.random() < 0.1,
        pusher=chance.choice(["alice", "bob", ""]),
        changed=ChangedPaths(True, chance.choice([(), ("auth/x",), ("web/y",)]), False),
        runs=chance.choice([(), (), (run(A, B),)]),
        leases=chance.choice([(), (), (lease(),)]),
    )


def _stale(chance: random.Random, at: datetime) -> Iterator[Any]:
    yield stale_facts(
        last_activity_at=at - timedelta(days=chance.choice([1, 20, 45, 63, 70, 200])),
        merged_by=chance.choice(["", "ancestry"]),
        behind_default=chance.choice([0, 8, 9, 40, None]),
        leases=chance.choice([(), (), (lease(),)]),
    )


def _missing(chance: random.Random, at: datetime) -> Iterator[Any]:
    yield missing_run_facts(
        head_changed_at=at - timedelta(seconds=chance.choice([10, 300, 900])),
        leases=chance.choice([(), (lease(),)]),
        runs=chance.choice([(), (run(A, B),)]),
        gates=chance.choice([(), (gate("ci"),)]),
        pull_requests=chance.choice(
            [(), (request(base_branch="release/1"),), (request(labels=("governed",)),)]
        ),
    )


def _lease(chance: random.Random, at: datetime) -> Iterator[Any]:
    left = timedelta(seconds=chance.choice([-5, 100, 800]))
    yield replace(
        renewal_facts(left=left),
        expires_at=at + left,
        last_heartbeat_at=at - timedelta(seconds=chance.choice([1, 100, 1000])),
    )
