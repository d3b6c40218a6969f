"""Observes repositories: reads all heads in one exchange each, and what webhooks announced."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from governance.selectors.branch_facts import RepositoryRow, branches_of_runs, known_heads
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import Place
from reconciliation.domain.observation import (
    AnnouncedMove,
    KnownHead,
    ObservationFacts,
    late_announcements,
    moves_between,
)
from reconciliation.models import Origin, WebhookDelivery
from reconciliation.remotes.base import Remote, RemoteError, RemoteHeads, RemoteTarget
from reconciliation.services.observe.remote import target_of, trouble_of
from reconciliation.services.observe.values import AppliedDelivery, Batch, Gathered, Seen
from reconciliation.services.queue import ClaimedTask
from reconciliation.webhooks.events import EventKind, NormalisedEvent

READERS = 16


def observe_refs(
    tasks: Sequence[ClaimedTask],
    repositories: Mapping[int, RepositoryRow],
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Read the heads of the tasks' repositories, at most 16 at once; failures stay with theirs."""
    deliveries = _deliveries_of(tasks)
    run_branches = branches_of_runs(
        [(task.repository_id, task.run_id) for task in tasks if task.run_id]
    )
    answers = read_heads([target_of(repositories[task.repository_id]) for task in tasks], remote)
    known = known_heads(sorted({task.repository_id for task in tasks}))
    batch = Batch()
    for task, answer in zip(tasks, answers, strict=True):
        if isinstance(answer, RemoteError):
            batch.troubles.append(trouble_of(task, answer))
            continue
        repository = repositories[task.repository_id]
        heads = {
            name: KnownHead(head, changes, pusher, announced_by)
            for name, head, changes, pusher, announced_by in known[task.repository_id]
        }
        applied = tuple(deliveries.get(task.id, ()))
        facts = _facts(task, repository, answer, heads, applied)
        to_check = _branches_to_check(applied)
        if task.run_id and (task.repository_id, task.run_id) in run_branches:
            to_check.add(run_branches[task.repository_id, task.run_id])
        seen = Seen(repository, facts, applied, tuple(sorted(to_check)), now)
        policy = policies.for_branch(task.repository_id, "")
        batch.gathered.append(Gathered(task, facts, policy, seen))
    return batch


def read_heads(targets: Sequence[RemoteTarget], remote: Remote) -> list[RemoteHeads | RemoteError]:
    """Read heads in threads and return answers in the order of the targets."""
    if len(targets) == 1:
        return [_read(targets[0], remote)]
    with ThreadPoolExecutor(max_workers=min(READERS, max(1, len(targets)))) as pool:
        return list(pool.map(lambda target: _read(target, remote), targets))


def _read(target: RemoteTarget, remote: Remote) -> RemoteHeads | RemoteError:
    try:
        return remote.read_heads(target)
    except RemoteError as error:
        return error


def _facts(
    task: ClaimedTask,
    repository: RepositoryRow,
    answer: RemoteHeads,
    known: Mapping[str, KnownHead],
    applied: Sequence[AppliedDelivery],
) -> ObservationFacts:
    announced = _announced(applied)
    by_hand = task.origin in {Origin.MANUAL, Origin.API}
    return ObservationFacts(
        place=Place(task.tenant, task.workspace, task.repo, ""),
        default_branch=answer.default_branch or repository.default_branch,
        heads_count=len(answer.heads),
        heads_digest=answer.digest,
        previous_digest=repository.heads_digest,
        moves=moves_between(
            known,
            answer.heads,
            announced=announced,
            unannounced_are="manual" if by_hand else "sweep",
        ),
        late_announcements=late_announcements(known, answer.heads, announced=announced),
    )


def _deliveries_of(tasks: Sequence[ClaimedTask]) -> dict[int, list[AppliedDelivery]]:
    found: dict[int, list[AppliedDelivery]] = defaultdict(list)
    rows = (
        WebhookDelivery.objects.filter(
            task_id__in=[task.id for task in tasks], applied_at__isnull=True
        )
        .order_by("received_at", "id")
        .values_list("task_id", "id", "received_at", "events")
    )
    for task_id, pk, received_at, events in rows:
        parsed = tuple(NormalisedEvent.from_json(event) for event in json.loads(events))
        found[task_id].append(AppliedDelivery(pk, received_at, parsed))
    return found


def _announced(applied: Sequence[AppliedDelivery]) -> list[AnnouncedMove]:
    moves = []
    for delivery in applied:
        for event in delivery.events:
            if event.kind not in {EventKind.PUSH, EventKind.REF_DELETE} or not event.branch:
                continue
            gone = event.deleted or event.kind is EventKind.REF_DELETE
            moves.append(
                AnnouncedMove(
                    branch=event.branch,
                    before=event.before,
                    after=None if gone else event.after,
                    pusher=event.actor or "",
                    announced_at=delivery.received_at,
                )
            )
    return moves


def _branches_to_check(applied: Sequence[AppliedDelivery]) -> set[str]:
    """Return branches whose governance changed though their head may not have moved."""
    branches: set[str] = set()
    for delivery in applied:
        for event in delivery.events:
            request = event.pull_request
            if request is not None and request.head_branch and not request.from_fork:
                branches.add(request.head_branch)
            if event.kind is EventKind.STATUS:
                named = event.status.branches if event.status else ()
                branches.update(named)
                branches.update({event.branch} if event.branch else set())
    return branches
