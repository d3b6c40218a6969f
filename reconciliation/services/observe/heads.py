"""Observes repositories: reads all heads in one exchange each, and what webhooks announced."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from governance.selectors.branch_facts import RepositoryRow, ends_of_runs, known_heads
from governance.selectors.change_facts import branches_judged_at
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import Place
from reconciliation.domain.observation import (
    AnnouncedMove,
    KnownHead,
    ObservationFacts,
    late_announcements,
    late_pushes,
    moves_between,
)
from reconciliation.models import Origin, WebhookDelivery
from reconciliation.remotes.base import (
    Remote,
    RemoteAuthFailed,
    RemoteError,
    RemoteHeads,
    RemoteNotFound,
    RemoteTarget,
)
from reconciliation.services.observe.lacking import branches_lacking
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
    runs = ends_of_runs([(task.repository_id, task.run_id) for task in tasks if task.run_id])
    told = _told_commits(tasks, deliveries, runs)
    lacking, judged = branches_lacking(told), branches_judged_at(told)
    answers = read_heads([target_of(repositories[task.repository_id]) for task in tasks], remote)
    known = known_heads(
        sorted(
            {
                task.repository_id
                for task, answer in zip(tasks, answers, strict=True)
                if isinstance(answer, RemoteHeads)
                and (
                    answer.digest != repositories[task.repository_id].heads_digest
                    or task.id in deliveries
                )
            }
        )
    )
    batch = Batch()
    for task, answer in zip(tasks, answers, strict=True):
        repository = repositories[task.repository_id]
        applied = tuple(deliveries.get(task.id, ()))
        policy = policies.for_branch(task.repository_id, "")
        if isinstance(answer, RemoteError):
            if not _confirms_deletion(answer, applied):
                batch.troubles.append(trouble_of(task, answer))
                continue
            facts = _facts_of_gone(task, repository)
            batch.gathered.append(
                Gathered(task, facts, policy, Seen(repository, facts, applied, (), now))
            )
            continue
        # Equal digests: nothing moved, and the branches need not even be read.
        heads = (
            {
                name: KnownHead(head, changes, pusher, announced_by)
                for name, head, changes, pusher, announced_by in known[task.repository_id]
            }
            if task.repository_id in known
            else {name: KnownHead(head, 0, "", "") for name, head in answer.heads.items()}
        )
        facts = _facts(task, repository, answer, heads, applied)
        # A branch that nobody ever saw has nothing to check: it was gone before we looked.
        to_check = _branches_to_check(applied) & (heads.keys() | answer.heads.keys())
        if task.run_id and (task.repository_id, task.run_id) in runs:
            to_check.add(runs[task.repository_id, task.run_id][0])
        to_check |= lacking.get(task.repository_id, set())
        to_check |= judged.get(task.repository_id, set()) & heads.keys()
        seen = Seen(repository, facts, applied, tuple(sorted(to_check)), now)
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
        # What git says counts; a server that does not name HEAD leaves us the host's own word.
        default_branch=(
            answer.default_branch or _announced_default(applied) or repository.default_branch
        ),
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
        late_pushes=late_pushes(known, answer.heads, announced=announced),
    )


def _facts_of_gone(task: ClaimedTask, repository: RepositoryRow) -> ObservationFacts:
    return ObservationFacts(
        place=Place(task.tenant, task.workspace, task.repo, ""),
        default_branch=repository.default_branch,
        heads_count=0,
        heads_digest=repository.heads_digest,
        previous_digest=repository.heads_digest,
        moves=(),
        late_announcements=(),
        is_gone=True,
    )


def _confirms_deletion(error: RemoteError, applied: Sequence[AppliedDelivery]) -> bool:
    """Return whether a repository that was announced as deleted cannot be read for that reason.

    A host that hides what it has not got asks for a login instead.
    """
    is_away = isinstance(error, RemoteNotFound | RemoteAuthFailed)
    return is_away and any(
        event.change is not None and event.change.action == "deleted"
        for delivery in applied
        for event in delivery.events
    )


def _announced_default(applied: Sequence[AppliedDelivery]) -> str:
    names = [
        event.change.default_branch or ""
        for delivery in applied
        for event in delivery.events
        if event.change is not None and event.change.action == "default_branch_changed"
    ]
    return names[-1] if names else ""


def _deliveries_of(tasks: Sequence[ClaimedTask]) -> dict[int, list[AppliedDelivery]]:
    found: dict[int, list[AppliedDelivery]] = defaultdict(list)
    rows = (
        WebhookDelivery.objects.filter(
            task_id__in=[task.id for task in tasks], applied_at__isnull=True
        )
        .order_by("received_at", "id")
        .values_list("task_id", "id", "source__host_kind", "received_at", "events")
    )
    for task_id, pk, host_kind, received_at, events in rows:
        parsed = tuple(NormalisedEvent.from_json(event) for event in json.loads(events))
        found[task_id].append(AppliedDelivery(pk, host_kind, received_at, parsed))
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


def _told_commits(
    tasks: Sequence[ClaimedTask],
    deliveries: Mapping[int, Sequence[AppliedDelivery]],
    runs: Mapping[tuple[int, str], tuple[str, str]],
) -> dict[int, set[str]]:
    """Return, per repository, the commits of which a gate or a run record told something now."""
    found: dict[int, set[str]] = defaultdict(set)
    for task in tasks:
        for delivery in deliveries.get(task.id, ()):
            found[task.repository_id] |= {one.status.sha for one in delivery.events if one.status}
    for (repository_id, _), (_, head) in runs.items():
        found[repository_id] |= {head} - {""}
    return found


def _branches_to_check(applied: Sequence[AppliedDelivery]) -> set[str]:
    """Return branches whose governance changed though their head may not have moved."""
    branches: set[str] = set()
    for delivery in applied:
        for event in delivery.events:
            request = event.pull_request
            if request is not None and request.head_branch and not request.from_fork:
                branches.add(request.head_branch)
            # Its merge may have been seen before it was announced, and looked like a direct push.
            if request is not None and request.merged and request.base_branch:
                branches.add(request.base_branch)
            if event.kind is EventKind.STATUS:
                named = event.status.branches if event.status else ()
                branches.update(named)
                branches.update({event.branch} if event.branch else set())
    return branches
