"""Replays what is stored: recomputes worklists, keys and decisions, and tells every difference.

Reads only, in chunks, so that years of history cost no more memory than an hour of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from audit.domain.canonical import canonical_json
from governance.domain.policy import Policy
from governance.selectors.policies import every_version
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.replaying import (
    SHOWN,
    Difference,
    StoredTask,
    key_differences,
    said_differences,
    text_differences,
    worklist_differences,
)
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from reconciliation.models import Evaluation, Origin, ReconciliationTask, Sweep
from reconciliation.selectors.stored_policies import NotThePolicy, StoredPolicies

CHUNK = 500
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
    "rules_version",
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

    @property
    def is_everything(self) -> bool:
        """Return whether it is not about one sweep, task or correlation id."""
        return (self.sweep_id, self.task_id, self.correlation_id) == (None, None, None)


@dataclass(frozen=True, slots=True, order=True)
class MadeBy:
    """Rules of a kind that are not those of today: their number, and today's."""

    task_kind: str
    rules: int
    rules_now: int


@dataclass(slots=True)
class OtherRules:
    """How many decisions were made by them, and how many today's rules decide otherwise."""

    decisions: int = 0
    otherwise: int = 0


@dataclass(slots=True)
class Checked:
    """How many rows were replayed, and how many differences they showed.

    `other_rules` counts decisions that say that they were made by other rules than today's.
    """

    policies: int = 0
    worklists: int = 0
    keys: int = 0
    decisions: int = 0
    differences: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    other_rules: dict[MadeBy, OtherRules] = field(default_factory=dict)


def replay(scope: Scope, *, checked: Checked, strict: bool = False) -> Iterator[Difference]:
    """Yield every difference, counting what was looked at in `checked` as it goes.

    What other rules decided comes out otherwise because the rules did change: it is counted apart,
    and yielded only when `strict`. A decision that is not what its own digest says, or a policy
    that is not, is a difference whatever made it.

    Raises:
        NothingToReplay: before anything is yielded.
    """
    sweeps, tasks, evaluations = _rows_in(scope)
    if scope.is_everything:
        for one in _differences_of_policies(checked):
            checked.differences += 1
            yield one
    for one in _all_differences(sweeps, tasks, evaluations, checked, strict=strict):
        checked.differences += 1
        yield one


def _all_differences(
    sweeps: QuerySet[Sweep],
    tasks: QuerySet[ReconciliationTask],
    evaluations: QuerySet[Evaluation],
    checked: Checked,
    *,
    strict: bool,
) -> Iterator[Difference]:
    for sweep in sweeps.order_by("id").iterator(chunk_size=20):
        checked.worklists += 1
        yield from _differences_of_sweep(sweep)
    rows = tasks.order_by("id").values_list(*_TASK_FIELDS, "policy_decision", _newest_decision())
    for *row, said, decision in rows.iterator(chunk_size=CHUNK):
        checked.keys += 1
        yield from key_differences(StoredTask(*row))
        if decision is not None:
            yield from said_differences(f"task {row[0]}", said=said, decision=decision)
    policies = StoredPolicies()
    stored = evaluations.order_by("id").values_list(*_EVALUATION_FIELDS)
    for row in stored.iterator(chunk_size=CHUNK):
        evaluation = _Stored(*row)
        checked.decisions += 1
        checked.by_kind[evaluation.task_kind] = checked.by_kind.get(evaluation.task_kind, 0) + 1
        yield from _differences_of_decision(evaluation, policies, checked, strict=strict)


def _newest_decision() -> Subquery:
    of_the_task = Evaluation.objects.filter(task=OuterRef("pk")).order_by("-id")
    return Subquery(of_the_task.values("decision")[:1])


def _differences_of_policies(checked: Checked) -> Iterator[Difference]:
    # All of them, also with `since`: what was decided yesterday was decided under older ones.
    for layer, digest in every_version():
        checked.policies += 1
        if digest != layer.digest:
            yield Difference("policy", layer.label, "digest", layer.digest, digest)


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
    rules_version: int


def _differences_of_decision(
    stored: _Stored, policies: StoredPolicies, checked: Checked, *, strict: bool
) -> Iterator[Difference]:
    name = f"evaluation {stored.id}"
    digest = hashlib.sha256(stored.decision.encode()).hexdigest()
    if digest != stored.decision_digest:
        yield Difference("digest", name, "decision_digest", stored.decision_digest, digest)
    try:
        policy = policies.under(stored.policy_digest)
    except NotThePolicy as error:
        yield Difference("policy", name, "policy", stored.policy_digest, str(error))
        return
    found = _decided_otherwise(stored, policy)
    rules_now = RULES_VERSIONS.get(stored.task_kind, stored.rules_version)
    if stored.rules_version == rules_now:
        yield from found
        return
    shown = list(found)
    made = MadeBy(stored.task_kind, stored.rules_version, rules_now)
    count = checked.other_rules.setdefault(made, OtherRules())
    count.decisions += 1
    count.otherwise += bool(shown)
    if strict:
        yield from shown


def _decided_otherwise(stored: _Stored, policy: Policy) -> Iterator[Difference]:
    name = f"evaluation {stored.id}"
    try:
        recomputed, facts = _decided_again(stored, policy)
    except Exception as error:  # noqa: BLE001 - told as a difference: one bad row stops no replay
        problem = f"{type(error).__name__}: {error}"
        yield Difference("unreadable", name, stored.task_kind, stored.decision[:SHOWN], problem)
        return
    yield from text_differences("facts", name, stored=stored.facts, recomputed=facts)
    yield from text_differences("decision", name, stored=stored.decision, recomputed=recomputed)


def _decided_again(stored: _Stored, policy: Policy) -> tuple[str, str]:
    """Return the decision made anew, and the facts as they would be stored anew."""
    facts_type, evaluate = EVALUATORS[stored.task_kind]
    value: Mapping[str, Any] = json.loads(stored.facts)
    facts = decode(facts_type, value)
    decision = evaluate(facts, policy, stored.evaluated_at)
    return canonical_json(encode(decision)), canonical_json(encode(facts))
