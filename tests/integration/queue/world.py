"""A small governed world for queue tests: repositories on an in-memory remote, and their tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from governance.models import Branch, Repository
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Origin, ReconciliationTask, RepositoryWatch, TaskKind
from reconciliation.remotes.memory import MemoryCommit, MemoryRemote
from reconciliation.services.claiming import claim
from reconciliation.services.execute import Drained, Limits, drain
from reconciliation.services.queue import PRIORITY_EVENT, ClaimedTask, Planned, enqueue
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    NOON,
    RepositoryFactory,
    TenantFactory,
)

LIMITS = Limits(batch=100, claim_seconds=60, total_seconds=60)


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@dataclass
class Queue:
    """Tasks, a remote and a clock."""

    clock: Clock = field(default_factory=Clock)
    remote: MemoryRemote = field(default_factory=MemoryRemote)

    def repository(
        self, path: str = "acme/api", branches: Sequence[str] = ("main",), head: str = HEAD_A
    ) -> Repository:
        """Govern a repository whose branches are all in sync at HEAD_A, read just now.

        The remote has HEAD_B on top of HEAD_A; `head` is where its branches are.
        """
        tenant, slug = path.split("/")
        row = RepositoryFactory.create(
            tenant=TenantFactory.create(slug=tenant), slug=slug, observed_at=self.clock.now
        )
        RepositoryWatch.objects.create(
            repository=row, next_due_at=self.clock.now + timedelta(hours=1)
        )
        Branch.objects.bulk_create(
            Branch(
                repository=row,
                name=name,
                branch_class="default" if name == "main" else "other",
                governed_head=HEAD_A,
                governed_at=self.clock.now,
                governed_by="connect",
                observed_head=HEAD_A,
                observed_at=self.clock.now,
                first_seen_at=self.clock.now,
                last_activity_at=self.clock.now,
            )
            for name in branches
        )
        self.remote.create(row.clone_url)
        self.remote.push(
            row.clone_url,
            "elsewhere",
            MemoryCommit(HEAD_A, (), files={"README": "1"}),
            MemoryCommit(HEAD_B, (HEAD_A,), files={"README": "2"}),
        )
        for name in branches:
            self.remote.reset(row.clone_url, name, head)
        self.remote.delete_branch(row.clone_url, "elsewhere")
        return row

    def planned(
        self,
        repository: Repository,
        branch: str = "",
        kind: str = TaskKind.OBSERVE_REFS,
        *,
        about: str = "test",
        priority: int = PRIORITY_EVENT,
        run_after: datetime | None = None,
        run_id: str | None = None,
    ) -> Planned:
        """Return a task to queue."""
        return Planned(
            item=WorkItem(
                tenant=repository.tenant.slug,
                workspace=repository.workspace.slug,
                repo=repository.slug,
                branch=branch,
                task_kind=kind,
                about=about,
                run_id=run_id,
            ),
            repository_id=repository.pk,
            correlation_id=CORRELATION_ID,
            origin=Origin.MANUAL,
            priority=priority,
            run_after=run_after or self.clock.now,
            announced_at=self.clock.now,
        )

    def put(self, *planned: Planned, revive: bool = True) -> list[int]:
        """Queue tasks and return their ids."""
        return [pk for pk, _ in enqueue(planned, now=self.clock.now, revive=revive)]

    def drifts(self, repository: Repository, *branches: str, about: str = "test") -> list[int]:
        """Queue a head-drift check of each branch."""
        return self.put(
            *(self.planned(repository, name, TaskKind.HEAD_DRIFT, about=about) for name in branches)
        )

    def observe(self, repository: Repository, *, about: str = "test") -> int:
        """Queue an observation of a repository and return its id."""
        [pk] = self.put(self.planned(repository, about=about))
        return pk

    def claim(self, worker: str = "ada", *, limit: int = 100, after: str = "") -> list[ClaimedTask]:
        """Claim as a worker does, for a minute."""
        lasts = timedelta(seconds=60)
        return claim(worker=worker, now=self.clock.now, limit=limit, lasts=lasts, after=after)

    def drain(self, worker: str = "ada") -> Drained:
        """Drain as a worker does."""
        return drain(worker=worker, remote=self.remote, clock=self.clock, limits=LIMITS)


def task(pk: int) -> ReconciliationTask:
    """Return the task as it is stored now."""
    return ReconciliationTask.objects.get(pk=pk)
