"""Looks up the branches that tasks are about, as every check of a branch needs them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from governance.domain.branch_classes import stricter_class
from governance.domain.policy import Policy, branch_class_of
from governance.selectors.branch_facts import BranchKey, BranchRow, RepositoryRow, branches_by_key
from reconciliation.domain.facts import Place
from reconciliation.domain.retry import ErrorClass
from reconciliation.services.observe.values import Batch, Trouble
from reconciliation.services.queue import ClaimedTask

Repositories = Mapping[int, RepositoryRow]


def known_branches(
    tasks: Sequence[ClaimedTask], *, with_default_of: Repositories | None = None
) -> tuple[Batch, dict[BranchKey, ClaimedTask], dict[BranchKey, BranchRow]]:
    """Return tasks and rows by branch; a branch that is not known is terminal trouble.

    The rows hold the default branches as well, of the repositories `with_default_of`.
    """
    batch = Batch()
    wanted = {(task.repository_id, task.branch): task for task in tasks}
    defaults = with_default_of or {}
    beside = {(pk, defaults[pk].default_branch) for pk, _ in wanted if pk in defaults}
    rows = branches_by_key(wanted.keys() | beside)
    for key, task in wanted.items():
        if key not in rows:
            message = f"{task.branch} is not known in {task.tenant}/{task.repo}."
            batch.troubles.append(Trouble(task, ErrorClass.TERMINAL, "branch_unknown", message))
    return batch, {key: task for key, task in wanted.items() if key in rows}, rows


def by_repository(
    keys: Mapping[BranchKey, ClaimedTask],
) -> dict[int, dict[BranchKey, ClaimedTask]]:
    """Return the same tasks repository by repository, as mirrors are asked."""
    found: dict[int, dict[BranchKey, ClaimedTask]] = defaultdict(dict)
    for key, task in keys.items():
        found[key[0]][key] = task
    return dict(found)


def class_of(branch: str, repository: RepositoryRow, policy: Policy) -> str:
    """Return a branch's class under the policy in force, whatever its row says."""
    return branch_class_of(branch, default_branches=repository.default_branches, policy=policy)


def held_class_of(branch: str, row: BranchRow, repository: RepositoryRow, policy: Policy) -> str:
    """Return the class that a branch is judged by.

    While it drifts that is at least the one under which governance last accepted it.
    """
    now = class_of(branch, repository, policy)
    drifts = row.governed_head is not None and row.governed_head != row.observed_head
    return stricter_class(row.branch_class, now) if drifts else now


def place_of(task: ClaimedTask) -> Place:
    """Return the branch that a task is about."""
    return Place(task.tenant, task.workspace, task.repo, task.branch)
