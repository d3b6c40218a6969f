"""Replays what is stored: recomputes worklists, keys and decisions, and tells every difference.

Reads only, in chunks, so that years of history cost no more memory than an hour of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from audit.domain.canonical import canonical_json
from governance.domain.policy import Policy, policy_from_document
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.replaying import (
    Difference,
    StoredTask,
    key_differences,
    text_differences,
    worklist_differences,
)
from reconciliation.evaluators import EVALUATORS
from reconciliation.models import Evaluation, Origin, ReconciliationTask, Sweep

CHUNK = 500
_POLICIES_KEPT = 200
_TASK_FIELDS = (
    "id",
    "tenant",
    "workspace",
    "repo",
    "branch",
    "task_kind",
    "subject",
    "idempotency_key",
    "run_id",
    "lease_id",
    "ordinal",
)
_EVALUATION_FIELDS = (
    "id",
    "task_kind",
    "evaluated_at",
    "facts",
    "policy_id",
    "decision",
    "decision_digest",
)


class NothingToReplay(Exception):
    """There is no such sweep or task, or nothing with this correlation id."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to replay: one sweep, one task, one correlation id, or everything since an instant.

    With none of them: everything there is.
    """

    sweep_id: int | None = None
    task_id: int | None = None
    correlation_id: str | None = None
    since: datetime | None = None


@dataclass(slots=True)
class Checked:
    """How many rows were replayed, and how many differences they showed."""

    worklists: int = 0
    keys: int = 0
    decisions: int = 0
    differences: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


def replay(scope: Scope, *, checked: Checked) -> Iterator[Difference]:
    """Yield every difference, counting what was looked at in `checked` as it goes.

    Raises:
        NothingToReplay: before anything is yielded.
    """
    sweeps, tasks, evaluations = _rows_in(scope)
    for one in _all_differences(sweeps, tasks, evaluations, checked):
        checked.differences += 1
        yield one


def _all_differences(
    sweeps: QuerySet[Sweep],
    tasks: QuerySet[ReconciliationTask],
    evaluations: QuerySet[Evaluation],
    checked: Checked,
) -> Iterator[Difference]:
    for sweep in sweeps.order_by("id").iterator(chunk_size=20):
        checked.worklists += 1
        yield from _differences_of_sweep(sweep)
    rows = tasks.order_by("id").values_list(*_TASK_FIELDS)
    for row in rows.iterator(chunk_size=CHUNK):
        checked.keys += 1
        yield from key_differences(StoredTask(*row))
    policies = _Policies()
    stored = evaluations.order_by("id").values_list(*_EVALUATION_FIELDS)
    for row in stored.iterator(chunk_size=CHUNK):
        evaluation = _Stored(*row)
        checked.decisions += 1
        checked.by_kind[evaluation.task_kind] = checked.by_kind.get(evaluation.task_kind, 0) + 1
        yield from _differences_of_decision(evaluation, policies)


def _rows_in(
    scope: Scope,
) -> tuple[QuerySet[Sweep], QuerySet[ReconciliationTask], QuerySet[Evaluation]]:
    sweeps, tasks = Sweep.objects.all(), ReconciliationTask.objects.all()
    evaluations = Evaluation.objects.all()
    if scope.sweep_id is not None:
        found = (
            sweeps.filter(pk=scope.sweep_id),
            tasks.filter(sweep_id=scope.sweep_id),
            evaluations.filter(task__sweep_id=scope.sweep_id),
        )
        return _existing(found, f"sweep {scope.sweep_id}", found[0])
    if scope.task_id is not None:
        found = (
            sweeps.none(),
            tasks.filter(pk=scope.task_id),
            evaluations.filter(task_id=scope.task_id),
        )
        return _existing(found, f"task {scope.task_id}", found[1])
    if scope.correlation_id is not None:
        named = {"correlation_id": scope.correlation_id}
        found = (
            sweeps.filter(**named),
            tasks.filter(**named),
            evaluations.filter(task__correlation_id=scope.correlation_id),
        )
        return _existing(found, f"task with correlation id {scope.correlation_id}", found[1])
    if scope.since is None:
        return sweeps, tasks, evaluations
    return (
        sweeps.filter(started_at__gte=scope.since),
        tasks.filter(created_at__gte=scope.since),
        evaluations.filter(evaluated_at__gte=scope.since),
    )


def _existing(
    found: tuple[QuerySet[Sweep], QuerySet[ReconciliationTask], QuerySet[Evaluation]],
    name: str,
    needed: QuerySet[Any],
) -> tuple[QuerySet[Sweep], QuerySet[ReconciliationTask], QuerySet[Evaluation]]:
    if not needed.exists():
        raise NothingToReplay(f"There is no {name}.")
    return found


def _differences_of_sweep(sweep: Sweep) -> Iterator[Difference]:
    # Follow-ups of a sweep carry its id too; only what it planned itself is in its worklist.
    planned = ReconciliationTask.objects.filter(sweep_id=sweep.pk, origin=Origin.SWEEP)
    tasks = {row[-1]: StoredTask(*row) for row in planned.values_list(*_TASK_FIELDS)}
    yield from worklist_differences(
        f"sweep {sweep.pk}",
        text=sweep.worklist,
        digest=sweep.worklist_digest,
        planned=sweep.planned,
        tasks=tasks,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """An evaluation as stored."""

    id: int
    task_kind: str
    evaluated_at: datetime
    facts: str
    policy_digest: str
    decision: str
    decision_digest: str


class _Policies:
    """The policies that decisions were made under: a few, used again and again."""

    def __init__(self) -> None:
        self._known: dict[str, Policy] = {}

    def under(self, digest: str) -> Policy:
        """Return the policy of this digest.

        Raises:
            ValueError: its stored document is another one, or no policy.
        """
        known = self._known.get(digest)
        if known is None:
            if len(self._known) >= _POLICIES_KEPT:
                self._known.clear()
            known = self._known[digest] = self._read(digest)
        return known

    @staticmethod
    def _read(digest: str) -> Policy:
        under_it = Evaluation.objects.filter(policy_id=digest).order_by("id")
        text = under_it.values_list("policy__document", flat=True)[0]
        actual = hashlib.sha256(text.encode()).hexdigest()
        if actual != digest:
            raise ValueError(f"the document of policy {digest} has the digest {actual}")
        return policy_from_document(json.loads(text))


def _differences_of_decision(stored: _Stored, policies: _Policies) -> Iterator[Difference]:
    name = f"evaluation {stored.id}"
    digest = hashlib.sha256(stored.decision.encode()).hexdigest()
    if digest != stored.decision_digest:
        yield Difference("digest", name, "decision_digest", stored.decision_digest, digest)
    try:
        recomputed, facts = _decided_again(stored, policies)
    except Exception as error:  # noqa: BLE001 - told as a difference: one bad row stops no replay
        problem = f"{type(error).__name__}: {error}"
        yield Difference("unreadable", name, stored.task_kind, stored.decision[:300], problem)
        return
    yield from text_differences("facts", name, stored=stored.facts, recomputed=facts)
    yield from text_differences("decision", name, stored=stored.decision, recomputed=recomputed)


def _decided_again(stored: _Stored, policies: _Policies) -> tuple[str, str]:
    """Return the decision made anew, and the facts as they would be stored anew."""
    facts_type, evaluate = EVALUATORS[stored.task_kind]
    value: Mapping[str, Any] = json.loads(stored.facts)
    facts = decode(facts_type, value)
    decision = evaluate(facts, policies.under(stored.policy_digest), stored.evaluated_at)
    return canonical_json(encode(decision)), canonical_json(encode(facts))
