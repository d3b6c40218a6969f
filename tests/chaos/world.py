"""The world that chaos breaks into, as a program of its own: made, fed with work, and looked over.

    python -m tests.chaos.world make FOLDER REPOSITORIES BRANCHES
    python -m tests.chaos.world feed WAVES PAUSE_SECONDS [ONLY_WAVE]
    python -m tests.chaos.world report

Every branch gets three checks. Half of the branches moved to a head that a run record covers, so
that their head-drift check has an effect: the snapshot advances, once.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
KINDS = ("head_drift", "missing_run", "stale_branch")


def make(folder: Path, *, repositories: int, branches: int, now: datetime) -> None:
    """Store tenants, repositories and branches, all read from one real repository in `folder`."""
    from governance.models import Branch, Repository, RunRecord, Tenant, Workspace
    from reconciliation.models import RepositoryWatch
    from reconciliation.schedules import ensure_tick_schedule

    before, after = git_repository(folder, branches=branches)
    ensure_tick_schedule(now=now)
    for number in range(repositories):
        tenant, _ = Tenant.objects.get_or_create(
            slug=f"tenant-{number % 3}", defaults={"created_at": now}
        )
        workspace, _ = Workspace.objects.get_or_create(
            tenant=tenant, slug="main", defaults={"created_at": now}
        )
        repository = Repository.objects.create(
            tenant=tenant,
            workspace=workspace,
            slug=f"repo-{number:03}",
            host_kind="generic",
            clone_url=str(folder),
            default_branch="b0000",
            connected_at=now,
        )
        RepositoryWatch.objects.create(repository=repository, next_due_at=now + timedelta(hours=6))
        Branch.objects.bulk_create(
            Branch(
                repository=repository,
                name=f"b{index:04}",
                governed_head=before,
                governed_at=now,
                governed_by="connect",
                observed_head=after if index % 2 else before,
                observed_at=now - timedelta(hours=1),
                first_seen_at=now,
                last_activity_at=now,
            )
            for index in range(branches)
        )
        RunRecord.objects.bulk_create(
            RunRecord(
                repository=repository,
                run_id=f"run-{index}",
                branch=f"b{index:04}",
                base_sha=before,
                head_sha=after,
                actor="alice",
                status="succeeded",
                started_at=now,
                ended_at=now,
                last_heartbeat_at=now,
                correlation_id="chaos-world",
            )
            for index in range(1, branches, 2)
        )


def git_repository(folder: Path, *, branches: int) -> tuple[str, str]:
    """Make a bare repository with two commits; odd branches are at the second one."""
    person = {"NAME": "a", "EMAIL": "a@example.org"}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        **{f"GIT_AUTHOR_{key}": value for key, value in person.items()},
        **{f"GIT_COMMITTER_{key}": value for key, value in person.items()},
    }

    def git(*arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()

    folder.mkdir(parents=True)
    git("init", "-q", "--bare", "-b", "b0000")
    git("hash-object", "-w", "-t", "tree", "/dev/null")
    before = git("commit-tree", EMPTY_TREE, "-m", "before")
    after = git("commit-tree", EMPTY_TREE, "-p", before, "-m", "after")
    heads = (after if index % 2 else before for index in range(branches))
    updates = (f"update refs/heads/b{index:04} {head}\n" for index, head in enumerate(heads))
    git("update-ref", "--stdin", stdin="".join(updates))
    return before, after


def feed(*, waves: int, pause_seconds: float, only: int | None) -> None:
    """Queue the checks of all branches in waves; whatever the database does, each wave gets in.

    With `only`, that wave is queued and no other.
    """
    from django.db import DatabaseError, connection

    from governance.models import Branch

    rows = None
    for wave in range(waves) if only is None else [only]:
        while True:
            try:
                if rows is None:
                    rows = list(Branch.objects.select_related("repository__tenant").order_by("pk"))
                feed_wave(rows[wave::waves])
                break
            except DatabaseError as error:
                print(f"feed: again, because {error}", file=sys.stderr)
                connection.close()
                time.sleep(0.5)
        time.sleep(pause_seconds)


def feed_wave(branches: list[Any]) -> None:
    """Queue three checks of each branch in one transaction, with a wake-up."""
    from django.db import transaction
    from django.utils import timezone

    from reconciliation.domain.worklist import WorkItem
    from reconciliation.services.queue import Planned, enqueue
    from reconciliation.services.wake import wake

    now = timezone.now()
    planned = [
        Planned(
            item=WorkItem(
                tenant=branch.repository.tenant.slug,
                workspace="main",
                repo=branch.repository.slug,
                branch=branch.name,
                task_kind=kind,
                about="chaos",
            ),
            repository_id=branch.repository_id,
            correlation_id="chaos-feed",
            origin="manual",
            priority=10,
            run_after=now,
            announced_at=now,
        )
        for branch in branches
        for kind in KINDS
    ]
    with transaction.atomic():
        enqueue(planned, now=now, revive=False)
        wake(now)


def report() -> dict[str, Any]:
    """Return what became of the work, and every promise that does not hold."""
    from django.db.models import Count

    from audit.domain.caller import NOBODY, Caller
    from audit.selectors import tenants_on_record, visible_entries
    from audit.services import verify
    from governance.models import Branch
    from reconciliation.models import Evaluation, ReconciliationTask, TaskAttempt

    everyone = Caller(NOBODY.actor, None, frozenset({"admin"}))
    tasks = {row.pk: row for row in ReconciliationTask.objects.filter(origin="manual")}
    attempts = list(TaskAttempt.objects.filter(task_id__in=tasks).order_by("id"))
    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    for attempt in attempts:
        outcomes[attempt.task_id][attempt.outcome] += 1
    problems = []

    evaluated = dict(
        Evaluation.objects.filter(task_id__in=tasks)
        .order_by()
        .values_list("task_id")
        .annotate(number=Count("id"))
    )
    entries = visible_entries(everyone).order_by()
    decided: Counter[int] = Counter()
    for object_id in entries.filter(object_kind="task", action__startswith="decision.").values_list(
        "object_id", flat=True
    ):
        decided[int(object_id)] += 1
    for pk, task in sorted(tasks.items()):
        seen = outcomes[pk]
        decisions = seen["completed"] + seen["deferred"]
        if task.state == "completed" and seen["completed"] != 1:
            problems.append(f"task {pk} completed {seen['completed']} times")
        if task.state == "dead" and not (task.last_error_code and task.last_error):
            problems.append(f"task {pk} is dead without a reason")
        if not evaluated.get(pk, 0) == decided[pk] == decisions:
            problems.append(
                f"task {pk}: {decisions} decisions, {evaluated.get(pk, 0)} evaluations,"
                f" {decided[pk]} entries"
            )

    order: dict[tuple[int, str], list[str]] = defaultdict(list)
    begun: set[int] = set()
    for attempt in attempts:  # ids follow the order of ends, and ends the order of claims
        task = tasks[attempt.task_id]
        if task.pk not in begun:
            begun.add(task.pk)
            order[task.repository_id, task.branch].append(task.task_kind)
    problems += [
        f"branch {key} was worked in the order {kinds}"
        for key, kinds in sorted(order.items())
        if kinds != sorted(kinds)
    ]

    advanced = Counter(
        entries.filter(action="snapshot.advance").values_list("object_id", flat=True)
    )
    problems += [f"snapshot of {name} advanced {n} times" for name, n in advanced.items() if n > 1]
    moved = Branch.objects.filter(governed_by__startswith="run:").count()
    if moved != len(advanced):
        problems.append(f"{moved} snapshots moved, but {len(advanced)} entries say so")
    problems += [
        f"chain of {tenant or 'the site'}: {broken.problem}"
        for tenant in tenants_on_record()
        if (broken := verify(tenant)) is not None
    ]
    return {
        "states": dict(Counter(task.state for task in tasks.values())),
        "outcomes": dict(Counter(attempt.outcome for attempt in attempts)),
        "errors": dict(Counter(f"{a.error_code}: {a.error}" for a in attempts if a.error_code)),
        "retries": [
            f"{a.started_at:%H:%M:%S.%f} to {a.ended_at:%H:%M:%S.%f} by {a.worker}: {a.error}"
            for a in attempts
            if a.outcome == "retry"
        ],
        "advanced": len(advanced),
        "problems": problems,
    }


def main() -> None:
    """Do one of the three."""
    import django

    django.setup()
    from django.utils import timezone

    action, *arguments = sys.argv[1:]
    if action == "make":
        make(
            Path(arguments[0]),
            repositories=int(arguments[1]),
            branches=int(arguments[2]),
            now=timezone.now(),
        )
    elif action == "feed":
        only = int(arguments[2]) if len(arguments) > 2 else None
        feed(waves=int(arguments[0]), pause_seconds=float(arguments[1]), only=only)
    else:
        print(json.dumps(report()))


if __name__ == "__main__":
    main()
