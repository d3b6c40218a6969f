"""What one head-drift check costs, step by step: claim, observe, evaluate, apply, audit.

The checks are real: branches of repositories on the disk, read by git; every second one moved ahead
by a commit that a run record covers, so that its ancestry is asked for and its snapshot advances.
One process, batches as shipped, the queue and all that is kept on the durable database.
"""

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from reconciliation.services import apply as applying
from reconciliation.services import batches
from tests.benchmarks.noop_kind import NOOP

if TYPE_CHECKING:
    from tests.benchmarks.executor import Shop

ROUNDS = 7
REPOSITORIES = 20
BRANCHES = 25
TARGET_TIMES_A_NOOP = 4.0
STEPS = ("claim", "observe", "evaluate", "apply", "audit")


def measure_steps(shop: "Shop") -> list[dict[str, Any]]:
    """Return how many times as much a real check costs as a task that does nothing."""
    costs: dict[str, list[dict[str, float]]] = {"head_drift": [], NOOP: []}
    with tempfile.TemporaryDirectory(prefix="bench-git-") as folder, ExitStack() as stack:
        branches = _world(Path(folder), stack)
        for number in range(ROUNDS + 1):
            costs["head_drift"].append(_cost_of_checks(branches, number))
            costs[NOOP].append(_cost_of_nothing(shop))
    for series in costs.values():
        del series[0]  # the first round fetches the mirrors
    told = {
        kind: {
            step: round(statistics.median(one[step] for one in series), 3)
            for step in (*STEPS, "all")
        }
        for kind, series in costs.items()
    }
    ratio = told["head_drift"]["all"] / told[NOOP]["all"]
    return [
        {
            "name": "head_drift_cost_vs_noop",
            "ratio": round(ratio, 2),
            "target": TARGET_TIMES_A_NOOP,
            "met": ratio <= TARGET_TIMES_A_NOOP,
            "raw": {"ms_per_task": told, "tasks_per_round": REPOSITORIES * BRANCHES},
        }
    ]


def _world(folder: Path, stack: ExitStack) -> list[Any]:
    """Govern repositories that are read from one real repository, and return their branches."""
    from django.test import override_settings
    from django.utils import timezone

    from governance.models import Branch
    from tests.chaos.world import make

    stack.enter_context(
        override_settings(ALLOWED_LOCAL_REMOTE_ROOTS=[str(folder)], MIRROR_ROOT=folder / "mirrors")
    )
    clone = folder / "api.git"
    make(clone, repositories=REPOSITORIES, branches=BRANCHES, now=timezone.now())
    return list(
        Branch.objects.filter(repository__clone_url=str(clone))
        .select_related("repository__tenant", "repository__workspace")
        .order_by("pk")
    )


def _cost_of_checks(branches: list[Any], number: int) -> dict[str, float]:
    from django.utils import timezone

    from governance.models import Branch, Repository
    from reconciliation.domain.worklist import WorkItem
    from reconciliation.services.observe import configured_remote
    from reconciliation.services.queue import Planned, enqueue

    now = timezone.now()
    rows = Branch.objects.filter(pk__in=[one.pk for one in branches])
    [before] = {one.governed_head for one in branches}
    rows.update(governed_head=before, governed_by="connect")
    Repository.objects.filter(pk__in={one.repository_id for one in branches}).update(
        observed_at=now
    )
    enqueue(
        [
            Planned(
                item=WorkItem(
                    tenant=branch.repository.tenant.slug,
                    workspace=branch.repository.workspace.slug,
                    repo=branch.repository.slug,
                    branch=branch.name,
                    task_kind="head_drift",
                    about=f"round {number}",
                ),
                repository_id=branch.repository_id,
                correlation_id="benchmark",
                origin="manual",
                priority=10,
                run_after=now,
                announced_at=now,
            )
            for branch in branches
        ],
        now=now,
        revive=True,
    )
    cost, done = _timed_drain(configured_remote())
    advanced = rows.filter(governed_by__startswith="run:").count()
    moved = sum(one.governed_head != one.observed_head for one in branches)
    if done != len(branches) or advanced != moved:
        sys.exit(f"executor: {done} of {len(branches)} checks, {advanced} of {moved} snapshots")
    return cost


def _cost_of_nothing(shop: "Shop") -> dict[str, float]:
    shop.fill(REPOSITORIES * BRANCHES, kind=NOOP)
    cost, _ = _timed_drain(shop.queue.remote)
    return cost


def _timed_drain(remote: Any) -> tuple[dict[str, float], int]:
    """Drain batch by batch and return the milliseconds a task by step, and how many were done."""
    from django.utils import timezone

    from reconciliation.services.claiming import claim

    spent: dict[str, float] = defaultdict(float)

    def timed(step: str, work: Callable[..., Any], *, part_of: str = "") -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                spent[step] += took
                if part_of:
                    spent[part_of] -= took

        return timing

    done = 0
    timed_claim = timed("claim", claim)
    with (
        mock.patch.dict(
            vars(batches),
            observe=timed("observe", vars(batches)["observe"]),
            _decide=timed("evaluate", vars(batches)["_decide"]),
            apply=timed("apply", vars(batches)["apply"]),
        ),
        mock.patch.dict(
            vars(applying), append=timed("audit", vars(applying)["append"], part_of="apply")
        ),
    ):
        began = time.perf_counter()
        while tasks := timed_claim(
            worker="bench", now=timezone.now(), limit=100, lasts=timedelta(minutes=5)
        ):
            done += batches.work_batch(
                tasks, remote=remote, worker="bench", clock=timezone.now
            ).completed
        spent["all"] = time.perf_counter() - began
    return {step: seconds * 1000 / max(1, done) for step, seconds in spent.items()}, done
