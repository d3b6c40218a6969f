"""One small world in which much is wrong, reconciled through two sweeps; and all it left behind.

The world is the same whatever order its rows are stored in. No stale branch lies beside a default
branch that moves: whether its observation or the check comes first is left open by the queue.
"""

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from django.db import connection

from audit.domain.canonical import canonical_json, sha256_of
from governance.models import PolicyVersion, Repository
from reconciliation.models import (
    Evaluation,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    SweepTrigger,
)
from reconciliation.remotes import RemoteTarget
from reconciliation.remotes.base import RemoteUnavailable
from reconciliation.remotes.memory import MemoryCommit, MemoryRemote
from reconciliation.services.execute import Limits, drain
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import (
    NOON,
    BranchFactory,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
    TenantFactory,
    WorkspaceFactory,
)

LONG_AGO = NOON - timedelta(days=400)
STEPS = (0, 16, 31, 47, 101, 700, 3600, 3616, 3700, 4500, 8000)
"""Seconds after NOON at which workers work; a sweep is planned at the first and at 3600."""
SWEEPS = {0, 3600}
POLICY = {
    "branches": {
        "protected": ["release/*"],
        "keep": ["keep/*"],
        "naming": "reach/<task>/<number>",
    },
    "changes": {"high_risk_paths": ["auth/**"], "required_pr_flow": True},
}


def oid(word: str) -> str:
    """Return a commit's made-up id."""
    return sha256_of(word)[:40]


COMMITS = (
    MemoryCommit(oid("c0"), (), files={"README": "0"}),
    MemoryCommit(oid("c1"), (oid("c0"),), files={"README": "1"}),
    MemoryCommit(oid("c2"), (oid("c1"),), files={"README": "2"}),
    MemoryCommit(oid("c3"), (oid("c2"),), files={"README": "2", "auth/session.py": "1"}),
    MemoryCommit(oid("side"), (oid("c0"),), files={"README": "side"}),
    MemoryCommit(oid("alien"), (), files={"README": "alien"}),
)
# tenant, repo, branch, the head that we know and govern, the head that the remote has now
BRANCHES: tuple[tuple[str, str, str, str | None, str | None], ...] = (
    ("acme", "api", "main", "c1", "c2"),  # covered by a run
    ("acme", "api", "release/2.1", "c2", "side"),  # rewritten
    ("acme", "api", "release/2.2", "c2", "c1"),  # rewound
    ("acme", "api", "release/2.3", "c2", None),  # deleted
    ("acme", "api", "reach/login/1", "c1", "c3"),  # under a lease, by nobody knows whom
    ("acme", "api", "reach/login/2", "c1", "c2"),  # after its approved run
    ("acme", "api", "feature/e\u0301", None, "c2"),  # created; git tells it from the next
    ("acme", "api", "feature/\u00e9", "c1", None),
    ("acme", "api", "Zebra", "c1", "alien"),  # unrelated
    ("acme", "api", "\U0001f600", "c1", "c3"),
    ("acme", "api", "\uffff", "c1", "c3"),
    ("acme", "web", "main", "c3", "c3"),
    ("acme", "web", "stale/merged", "c1", "c1"),
    ("acme", "web", "stale/unmerged", "side", "side"),
    ("acme", "web", "keep/this", "side", "side"),
    ("borealis", "api", "main", "c1", "c1"),
    ("borealis", "api", "topic/alive", "c1", "c1"),
    ("borealis", "api", "topic/dead", "c1", "c1"),
    ("borealis", "api", "ungoverned", "c1", "c2"),
    ("cinder", "down", "main", "c1", "c2"),
)


def build_state(chance: Random) -> MemoryRemote:
    """Store the world in an order that `chance` picks, and return the remote it is read from."""
    remote = MemoryRemote()
    in_any_order(chance, [partial(_tenant, name) for name in ("acme", "borealis", "cinder")])
    places = sorted({row[:2] for row in BRANCHES})
    in_any_order(chance, [partial(_repository, *place, remote) for place in places])
    branches = [partial(_branch, *row) for row in BRANCHES]
    in_any_order(chance, [*branches, _policy, _runs, _leases, _watches])
    return remote


def in_any_order(chance: Random, acts: list[Callable[[], None]]) -> None:
    """Do everything, in the order that `chance` picks."""
    chance.shuffle(acts)
    for act in acts:
        act()


def reconcile(remote: MemoryRemote, *, workers: int, batch: int) -> None:
    """Plan two sweeps and work off what comes of them, with so many workers at a time."""
    for second in STEPS:
        now = NOON + timedelta(seconds=second)
        if second in SWEEPS:
            plan_sweep(
                slot=now,
                scope="",
                everything=True,
                trigger=SweepTrigger.SCHEDULE,
                budget=Budget(repositories=10, per_tenant=10),
                correlation_id=f"sweep-{second}",
                now=now,
            )
        if workers > 1:
            _work_together(remote, now=now, workers=workers, batch=batch)
        _work(remote, now=now, batch=batch)


def left_behind() -> str:
    """Return worklists, keys, decisions and findings as canonical JSON, without numbers of rows."""
    sweeps = Sweep.objects.order_by("slot").values_list(
        "worklist", "worklist_digest", "considered", "planned", "skipped"
    )
    tasks = ReconciliationTask.objects.values_list(
        "idempotency_key", "branch", "task_kind", "subject", "state", "policy_decision", "attempts"
    )
    evaluations = Evaluation.objects.order_by("id").values_list(
        "task__idempotency_key", "evaluated_at", "facts", "policy_id", "decision", "decision_digest"
    )
    findings = Finding.objects.values_list(
        "fingerprint", "branch", "stable_class", "severity", "state"
    )
    return canonical_json(
        {
            "sweeps": [list(row) for row in sweeps],
            "tasks": sorted([list(row) for row in tasks]),
            "decisions": sorted(
                [
                    [key, at, _without_numbers(facts), *rest]
                    for key, at, facts, *rest in evaluations
                ],
                key=lambda row: (row[0], row[1]),
            ),
            "findings": sorted([list(row) for row in findings]),
        }
    )


def _without_numbers(facts: str) -> Any:
    value = json.loads(facts)
    for finding in value.get("findings", ()):
        # The one number of a row among all facts; no rule looks at it.
        del finding["finding_id"]
    return value


def _work(remote: MemoryRemote, *, now: datetime, batch: int) -> None:
    limits = Limits(batch=batch, claim_seconds=600, total_seconds=600)
    drain(worker="worker", remote=remote, clock=lambda: now, limits=limits)


def _work_together(remote: MemoryRemote, *, now: datetime, workers: int, batch: int) -> None:
    troubles: list[Exception] = []

    def work() -> None:
        try:
            _work(remote, now=now, batch=batch)
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
            troubles.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]


def _tenant(slug: str) -> None:
    WorkspaceFactory.create(tenant=TenantFactory.create(slug=slug), slug="main")


def _repository(tenant: str, slug: str, remote: MemoryRemote) -> None:
    row = RepositoryFactory.create(
        tenant=TenantFactory.create(slug=tenant), slug=slug, host_repository_id=f"{tenant}-{slug}"
    )
    url = row.clone_url
    remote.create(url)
    remote.push(url, "history", *COMMITS)
    target = RemoteTarget(url, str(row.pk))
    for commit in COMMITS:
        remote.reset(url, "history", commit.oid)
        remote.sync(target, {"history": commit.oid})
    remote.delete_branch(url, "history")
    for other_tenant, repo, branch, _, head in BRANCHES:
        if (other_tenant, repo) == (tenant, slug) and head:
            remote.reset(url, branch, oid(head))
    if slug == "down":
        remote.fail(url, RemoteUnavailable("the host does not answer"))


def _repository_at(tenant: str, slug: str) -> Repository:
    return Repository.objects.get(tenant__slug=tenant, slug=slug)


def _branch(tenant: str, repo: str, name: str, known: str | None, _: str | None) -> None:
    if known is None:
        return
    is_stale = name.startswith(("stale/", "keep/"))
    BranchFactory.create(
        repository=_repository_at(tenant, repo),
        name=name,
        governed_head=oid(known),
        observed_head=oid(known),
        observed_at=LONG_AGO if is_stale else NOON,
        last_activity_at=LONG_AGO if is_stale else NOON,
    )


def _policy() -> None:
    PolicyVersion.objects.create(
        layer="site",
        target="",
        version=1,
        document=POLICY,
        digest=sha256_of(POLICY),
        author="ada",
        reason="the policy of the tests",
        published_at=NOON,
    )


def _runs() -> None:
    api = _repository_at("acme", "api")
    for run_id, branch, base, head in (
        ("run-1", "main", "c1", "c2"),
        ("run-2", "reach/login/2", "c0", "c1"),
    ):
        RunRecordFactory.create(
            repository=api,
            branch=branch,
            run_id=run_id,
            base_sha=oid(base),
            head_sha=oid(head),
            status="succeeded",
        )
    RunRecordFactory.create(
        repository=_repository_at("borealis", "api"),
        branch="topic/alive",
        run_id="run-3",
        lease_id="lease-alive",
        last_heartbeat_at=NOON,
    )


def _leases() -> None:
    LeaseFactory.create(
        repository=_repository_at("acme", "api"),
        lease_id="lease-login",
        branch="reach/login/1",
        fencing_token=1,
    )
    # Nobody announces any push here: that alice held main is the evidence that the run is hers.
    LeaseFactory.create(
        repository=_repository_at("acme", "api"),
        lease_id="lease-main",
        branch="main",
        fencing_token=2,
    )
    borealis = _repository_at("borealis", "api")
    for name, run_id, age, token in (("alive", "run-3", 500, 1), ("dead", "", 700, 2)):
        LeaseFactory.create(
            repository=borealis,
            lease_id=f"lease-{name}",
            branch=f"topic/{name}",
            run_id=run_id,
            fencing_token=token,
            acquired_at=NOON - timedelta(seconds=age),
        )


def _watches() -> None:
    for repository in Repository.objects.order_by("slug", "tenant__slug"):
        RepositoryWatch.objects.create(
            repository=repository, next_due_at=NOON - timedelta(minutes=len(repository.slug))
        )
