"""Replaying a reconciled world: all comes out the same, and whatever was changed is named."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from audit.domain.canonical import sha256_of
from governance.models import EffectivePolicy, PolicyVersion
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from reconciliation.models import Evaluation, ReconciliationTask, Sweep
from reconciliation.services.replay import (
    Checked,
    MadeBy,
    NothingToReplay,
    OtherRules,
    Scope,
    replay,
)
from tests.determinism.state import build_state, reconcile
from tests.factories.governance import NOON

# Without it no database is set up when this file runs alone.
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def stored_world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Reconcile the world once for the tests of this module, in a transaction of theirs."""
    with django_db_blocker.unblock(), rolled_back():
        reconcile(build_state(Random(1)), workers=1, batch=50)
        yield


@pytest.fixture
def world(stored_world: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Give a test the reconciled world, and take back what the test did to it."""
    with django_db_blocker.unblock(), rolled_back():
        yield


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def differences(**scope: Any) -> tuple[list[tuple[str, str]], Checked]:
    checked = Checked()
    found = [(one.what, one.of) for one in replay(Scope(**scope), checked=checked)]
    return found, checked


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("replay", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def change(evaluation: Evaluation, **values: Any) -> str:
    """Change a stored decision as nobody ever should; return its name."""
    Evaluation.objects.filter(pk=evaluation.pk).update(**values)
    return f"evaluation {evaluation.pk}"


def of_kind(kind: str) -> Evaluation:
    return Evaluation.objects.filter(task_kind=kind).order_by("id")[0]


# --- nothing differs ------------------------------------------------------------------------------


def test_everything_that_was_decided_comes_out_the_same(world: None) -> None:
    found, checked = differences()

    assert found == []
    assert checked == Checked(
        policies=1,
        worklists=2,
        keys=ReconciliationTask.objects.count(),
        decisions=Evaluation.objects.count(),
        differences=0,
        by_kind=checked.by_kind,
    )
    assert checked.decisions > 60
    assert checked.by_kind.keys() == {
        "divergence_alert",
        "head_drift",
        "lease_renewal",
        "missing_run",
        "observe_refs",
        "stale_branch",
    }


def test_a_replay_stores_nothing_and_asks_no_more_for_more(world: None) -> None:
    with CaptureQueriesContext(connection) as all_of_it:
        differences()

    statements = [query["sql"] for query in all_of_it.captured_queries]
    assert not any(word in sql for sql in statements for word in ("INSERT", "UPDATE", "DELETE"))
    policies = Evaluation.objects.values("policy_id").distinct().count()
    assert len(statements) <= 4 + Sweep.objects.count() + policies


# --- scopes ---------------------------------------------------------------------------------------


def test_one_sweep_is_its_worklist_its_tasks_and_their_decisions(world: None) -> None:
    sweep = Sweep.objects.order_by("slot")[1]

    _, checked = differences(sweep_id=sweep.pk)

    assert (checked.worklists, checked.keys) == (1, sweep.tasks.count())
    assert checked.decisions == Evaluation.objects.filter(task__sweep=sweep).count()
    assert 0 < checked.decisions < Evaluation.objects.count()


def test_one_task_is_its_key_and_its_decisions(world: None) -> None:
    task = of_kind("head_drift").task

    _, checked = differences(task_id=task.pk)

    assert (checked.worklists, checked.keys) == (0, 1)
    assert checked.decisions == task.evaluations.count() > 0


def test_one_correlation_id_is_all_that_it_led_to(world: None) -> None:
    _, checked = differences(correlation_id="sweep-3600")

    assert checked.worklists == 1
    assert checked.keys == ReconciliationTask.objects.filter(correlation_id="sweep-3600").count()


@pytest.mark.parametrize(("seconds", "worklists"), [(-1, 2), (0, 2), (1, 1), (3600, 1), (3601, 0)])
def test_since_an_instant_is_from_it_on(world: None, seconds: int, worklists: int) -> None:
    since = NOON + timedelta(seconds=seconds)

    _, checked = differences(since=since)

    assert checked.worklists == worklists
    assert checked.decisions == Evaluation.objects.filter(evaluated_at__gte=since).count()


@pytest.mark.parametrize("scope", [{"sweep_id": 0}, {"task_id": 0}, {"correlation_id": "nobody's"}])
def test_there_may_be_nothing_such(world: None, scope: dict[str, Any]) -> None:
    with pytest.raises(NothingToReplay, match="There is no"):
        differences(**scope)


# --- whatever was changed is named ----------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["divergence_alert", "head_drift", "lease_renewal", "missing_run", "stale_branch"]
)
def test_a_changed_decision_is_named_with_the_place_that_differs(world: None, kind: str) -> None:
    evaluation = of_kind(kind)
    decision = json.loads(evaluation.decision) | {"reason": "because I say so"}
    name = change(
        evaluation,
        decision=json.dumps(decision, sort_keys=True, separators=(",", ":")),
        decision_digest=sha256_of(decision),
    )

    (difference,) = replay(Scope(), checked=Checked())

    assert (difference.what, difference.of, difference.at) == ("decision", name, "reason")
    assert difference.stored == '"because I say so"'


def test_changed_facts_change_what_is_decided(world: None) -> None:
    evaluation = of_kind("lease_renewal")
    facts = json.loads(evaluation.facts) | {"state": "released"}

    name = change(evaluation, facts=json.dumps(facts, sort_keys=True, separators=(",", ":")))

    assert ("decision", name) in differences()[0]


def test_a_decision_moved_in_time(world: None) -> None:
    rows = Evaluation.objects.order_by("id")
    evaluation = next(row for row in rows if json.loads(row.decision)["decision"] == "settle")

    name = change(evaluation, evaluated_at=NOON.replace(hour=23))

    assert ("decision", name) in differences()[0]


def test_a_digest_of_another_decision(world: None) -> None:
    name = change(of_kind("head_drift"), decision_digest="0" * 64)

    assert differences()[0] == [("digest", name)]


def test_the_same_decision_in_other_bytes(world: None) -> None:
    evaluation = of_kind("missing_run")
    text = json.dumps(json.loads(evaluation.decision), indent=1)

    name = change(evaluation, decision=text)

    assert differences()[0] == [("digest", name), ("decision", name)]


@pytest.mark.parametrize("facts", ["", "{}", "[]", "null", '{"place": 7}', '{"wings": 2}'])
def test_facts_that_cannot_be_read_stop_no_replay(world: None, facts: str) -> None:
    name = change(of_kind("stale_branch"), facts=facts)

    found, checked = differences()

    assert found == [("unreadable", name)]
    assert checked.decisions == Evaluation.objects.count()


def test_a_kind_of_decision_that_nobody_knows(world: None) -> None:
    name = change(of_kind("stale_branch"), task_kind="tarot")

    assert differences()[0] == [("unreadable", name)]


def test_a_policy_that_was_changed_after_the_fact(world: None) -> None:
    row = EffectivePolicy.objects.order_by("digest")[0]
    document = json.loads(row.document)
    document["head_drift"]["settle_seconds"] += 1
    EffectivePolicy.objects.filter(pk=row.pk).update(document=json.dumps(document))

    found, _ = differences()

    assert {what for what, _ in found} == {"policy"}
    assert len(found) == Evaluation.objects.filter(policy=row).count()


def test_a_published_version_that_was_changed_after_the_fact(world: None) -> None:
    version = PolicyVersion.objects.get()
    document = version.document | {"head_drift": {"mode": "off"}}
    PolicyVersion.objects.filter(pk=version.pk).update(document=document)

    (difference,) = replay(Scope(), checked=Checked())

    assert (difference.what, difference.of, difference.at) == ("policy", "site v1", "digest")
    assert (difference.stored, difference.recomputed) == (version.digest, sha256_of(document))
    assert run("--all")[0] == run("--all", "--since", "1m")[0] == 1


def test_a_task_whose_key_is_not_its_own(world: None) -> None:
    task = ReconciliationTask.objects.filter(parent__isnull=False).order_by("id")[0]
    ReconciliationTask.objects.filter(pk=task.pk).update(subject="something else")

    assert differences()[0] == [("key", f"task {task.pk}")]


def test_a_task_that_shows_another_decision_than_was_made(world: None) -> None:
    task = of_kind("stale_branch").task
    ReconciliationTask.objects.filter(pk=task.pk).update(policy_decision="active?")

    (difference,) = replay(Scope(task_id=task.pk), checked=Checked())

    newest = task.evaluations.order_by("-pk")[0]
    assert (difference.of, difference.at) == (f"task {task.pk}", "policy_decision")
    assert difference.stored == "active?"
    assert difference.recomputed == json.loads(newest.decision)["decision"]


def test_a_worklist_that_was_changed_after_the_fact(world: None) -> None:
    sweep = Sweep.objects.order_by("slot")[0]
    items = json.loads(sweep.worklist)
    Sweep.objects.filter(pk=sweep.pk).update(
        worklist=json.dumps(items[::-1], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )

    found = {what for what, of in differences()[0]}

    assert found == {"digest", "order", "worklist"}


# --- other rules than today's ---------------------------------------------------------------------


def test_every_decision_carries_the_number_of_the_rules_that_made_it(world: None) -> None:
    made_by = set(Evaluation.objects.values_list("task_kind", "rules_version"))

    assert made_by == set(RULES_VERSIONS.items())
    assert RULES_VERSIONS.keys() == EVALUATORS.keys()


def test_what_other_rules_decided_is_counted_apart(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "stale_branch", by=1)
    was = RULES_VERSIONS["stale_branch"] - 1
    decide_otherwise(of_kind("stale_branch"))

    found, checked = differences()

    assert found == []
    assert checked.other_rules == {
        MadeBy("stale_branch", was, was + 1): OtherRules(
            decisions=Evaluation.objects.filter(task_kind="stale_branch").count(), otherwise=1
        )
    }


def test_strictly_what_other_rules_decided_is_a_difference(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "stale_branch", by=1)
    name = decide_otherwise(of_kind("stale_branch"))

    found = [(one.what, one.of) for one in replay(Scope(), checked=Checked(), strict=True)]

    assert found == [("decision", name)]


def test_new_rules_for_one_check_excuse_no_other_check(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "stale_branch", by=1)
    name = decide_otherwise(of_kind("head_drift"))

    assert differences()[0] == [("decision", name)]


def test_other_rules_excuse_no_decision_that_is_not_what_its_digest_says(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "head_drift", by=1)
    name = change(of_kind("head_drift"), decision_digest="0" * 64)

    assert differences()[0] == [("digest", name)]


def test_facts_that_only_other_rules_could_read_are_told_apart_too(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "head_drift", by=-1)  # somebody went back to an older release
    change(of_kind("head_drift"), facts="{}")

    found, checked = differences()

    assert found == []
    assert [count.otherwise for count in checked.other_rules.values()] == [1]


def test_the_command_says_which_rules_decided_otherwise(
    world: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_rules(monkeypatch, "stale_branch", by=1)
    task = of_kind("stale_branch").task
    decide_otherwise(of_kind("stale_branch"))

    scope = ("--task", str(task.pk))
    code, said = run(*scope)
    strict_code, strictly_said = run(*scope, "--strict")
    json_code, as_json = run(*scope, "--json")

    was = RULES_VERSIONS["stale_branch"] - 1
    line = f"stale_branch decision made by rules {was}, now {was + 1}: 1 would be decided otherwise"
    assert (code, strict_code, json_code) == (0, 1, 0)
    assert f"1 {line}\n" in said
    assert "no differences" in said
    assert "1 difference\n" in strictly_said
    assert json.loads(as_json)["other_rules"] == [
        {
            "task_kind": "stale_branch",
            "rules": was,
            "rules_now": was + 1,
            "decisions": 1,
            "otherwise": 1,
        }
    ]


def raise_rules(monkeypatch: pytest.MonkeyPatch, kind: str, *, by: int) -> None:
    monkeypatch.setitem(RULES_VERSIONS, kind, RULES_VERSIONS[kind] + by)


def decide_otherwise(evaluation: Evaluation) -> str:
    """Store another decision as if the rules of its time had made it; return the row's name."""
    decision = json.loads(evaluation.decision) | {"reason": "as the rules were then"}
    text = json.dumps(decision, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return change(evaluation, decision=text, decision_digest=sha256_of(decision))


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_that_nothing_differs(world: None) -> None:
    code, said = run("--all")

    assert code == 0
    assert said.strip().endswith("decisions recomputed: no differences")
    assert said.startswith("1 policy version, 2 worklists, ")


def test_the_command_prints_every_difference_and_fails(world: None) -> None:
    names = [
        change(of_kind(kind), decision_digest="0" * 64) for kind in ("head_drift", "missing_run")
    ]

    code, said = run("--all")

    assert code == 1
    for name in names:
        assert f"DIFFERENT digest: {name}, decision_digest\n  stored      {'0' * 64}\n" in said
    assert said.strip().endswith("decisions recomputed: 2 differences")


@pytest.mark.parametrize("changed", [0, 1, 3])
def test_the_command_speaks_json(world: None, changed: int) -> None:
    for evaluation in Evaluation.objects.order_by("id")[:changed]:
        change(evaluation, decision_digest="0" * 64)

    code, said = run("--all", "--json")

    document = json.loads(said)
    assert code == (1 if changed else 0)
    assert document["counts"]["differences"] == len(document["differences"]) == changed
    assert document["counts"]["decisions"] == Evaluation.objects.count()
    assert sum(document["counts"]["decisions_by_kind"].values()) == Evaluation.objects.count()


def test_the_command_replays_one_sweep_task_or_correlation(world: None) -> None:
    sweep, task = Sweep.objects.order_by("slot")[0], of_kind("stale_branch").task

    for arguments in (
        ("--sweep", str(sweep.pk)),
        ("--task", str(task.pk)),
        ("--correlation", task.correlation_id),
    ):
        code, said = run(*arguments)
        assert (code, "no differences" in said) == (0, True)


@pytest.mark.parametrize("since", ["90m", "24h", "7d", "2026-01-31T12:00:00Z"])
def test_the_command_knows_when_since_is(world: None, since: str) -> None:
    assert run("--all", "--since", since)[0] == 0
