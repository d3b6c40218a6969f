"""A simulation says exactly what publishing would change, and changes nothing itself."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from governance.domain.branch_classes import stricter_class
from governance.domain.policy import Policy, branch_class_of
from governance.models import EffectivePolicy, PolicyVersion, Repository
from governance.services.policies import load_policies
from governance.services.policy_planning import PolicyRefused
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.facts import ChangedPaths, StaleFacts
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.domain.simulation_tally import CHANGES
from reconciliation.evaluators import EVALUATORS
from reconciliation.models import Evaluation, Finding, ReconciliationTask
from reconciliation.services import simulation
from reconciliation.services.simulation import Simulation, simulate
from reconciliation.services.simulation_judging import Against
from tests.conftest import World
from tests.factories.governance import NOON, RepositoryFactory, WorkspaceFactory
from tests.integration.policy.acts import draft, publish
from tests.integration.policy.history import Occasion, decide_and_store, occasions
from tests.unit.evaluators.facts import A, head_facts, place, renewal_facts, seconds, stale_facts

pytestmark = pytest.mark.django_db

MONTH = timedelta(days=30)
EVALUATIONS = 400


def run(
    text: str,
    layer: str = "tenant",
    target: str = "acme",
    *,
    pattern: str = "",
    **options: Any,
) -> Simulation:
    asked: dict[str, Any] = {
        "since": NOON - MONTH,
        "until": NOON,
        "against": Against.STORED,
        "most_evaluations": None,
        **options,
    }
    return simulate(draft(text, layer, target, pattern=pattern), **asked)


@pytest.fixture
def repositories(tenant_world: World) -> list[Repository]:
    """Return acme/main/api, another one beside it, one of another workspace, and a stranger's."""
    acme = tenant_world.tenant
    return [
        tenant_world.repository,
        RepositoryFactory.create(tenant=acme, slug="web"),
        RepositoryFactory.create(
            tenant=acme, workspace=WorkspaceFactory.create(tenant=acme, slug="labs"), slug="lab"
        ),
        tenant_world.strange_repository,
    ]


DRAFTS = [
    ("a threshold", "tenant", "acme", "", "head_drift: {settle_seconds: 60}"),
    ("tighter", "tenant", "acme", "", "stale_branch: {idle_days: 30, stale_base_commits: 1}"),
    ("patterns", "tenant", "acme", "", "branches: {protected: ['release/*'], governed: [topic]}"),
    ("patterns go", "workspace", "acme/main", "", "branches: {naming: ''}"),
    ("a naming", "site", "", "", "branches: {naming: 'reach/<task>/<number>'}"),
    ("a weight", "tenant", "acme", "", "rules: {drift.unknown: {weight: 90}}"),
    ("a rule off", "tenant", "acme", "", "rules: {drift.not_lease_holder: {mode: 'off'}}"),
    ("a check off", "repository", "acme/main/api", "", "head_drift: {mode: 'off'}"),
    ("observe", "repository", "acme/main/api", "", "missing_run: {mode: observe}"),
    ("from medium", "workspace", "acme/labs", "", "alerts: {from_severity: medium}"),
    ("one pattern", "branch", "acme/main/api", "release/*", "alerts: {from_severity: info}"),
    ("gates", "tenant", "acme", "", "changes: {required_gates: [ci, review]}"),
    ("paths", "tenant", "acme", "", "changes: {high_risk_paths: ['auth/**']}"),
    ("a floor", "site", "", "", "lease: {mode: 'off'}\nfloors: [rules.*.mode]"),
    ("nothing", "tenant", "acme", "", "{}"),
]


@pytest.mark.parametrize(
    ("layer", "target", "pattern", "text"),
    [one[1:] for one in DRAFTS],
    ids=[one[0] for one in DRAFTS],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_draft_shows_exactly_what_publishing_it_makes_of_the_same_facts(
    repositories: list[Repository],
    layer: str,
    target: str,
    pattern: str,
    text: str,
    seed: int,
    now: datetime,
) -> None:
    # Half of the history was decided under a policy that is no longer in force.
    found = occasions(repositories, number=EVALUATIONS, seed=seed)
    publish("head_drift: {settle_seconds: 10}", "site", "", now=now)
    decide_and_store(found[: EVALUATIONS // 2])
    publish("branches: {governed: [other]}\nhead_drift: {settle_seconds: 30}", "site", "", now=now)
    publish("rules: {drift.rewrite_other: {weight: 45}}", "repository", "acme/main/web", now=now)
    decide_and_store(found[EVALUATIONS // 2 :])

    simulated = run(text, layer, target, pattern=pattern)
    publish(text, layer, target, pattern=pattern, now=now)

    rows = _reached(layer, target, pattern)
    before = {row.pk: json.loads(row.decision) for row in rows}
    after = _decided_again(rows)
    expected = _changes(rows, before, after)
    told = simulated.differences
    assert told.evaluations == len(rows) > 0
    assert told.differing > 0
    assert told.total == {change: len(expected[change]) for change in CHANGES}
    assert dict(told.by_repository) == _by_repository(expected)
    assert {(one.check, one.before, one.after): one.evaluations for one in told.decisions} == (
        _decisions(rows, before, after)
    )
    assert simulated.is_complete
    for example in simulated.examples:
        assert _fingerprint(example.place, example.check, example.stable_class) in {
            fingerprint for fingerprint, *_ in expected[example.change]
        }
        assert example.before == before[example.evaluation_id]["decision"]
        assert example.after == after[example.evaluation_id]["decision"]


def _reached(layer: str, target: str, pattern: str) -> list[Evaluation]:
    rows = Evaluation.objects.select_related("task__repository__tenant").order_by("-evaluated_at")
    slugs = [target.split("/")] if target else []
    for tenant, *more in slugs:
        rows = rows.filter(task__tenant=tenant)
        rows = rows.filter(task__workspace=more[0]) if more else rows
        rows = rows.filter(task__repo=more[1]) if len(more) > 1 else rows
    if pattern:
        rows = rows.filter(task__branch__startswith=pattern.removesuffix("*"))
    return list(rows)


def _decided_again(rows: Iterable[Evaluation]) -> dict[int, Any]:
    """Return what the policies in force now decide, with the classes that a check gives."""
    policies = load_policies(list(Repository.objects.values_list("pk", flat=True)))
    decided = {}
    for row in rows:
        repository = row.task.repository
        policy = policies.for_branch(repository.pk, row.task.branch)
        facts_type, evaluate = EVALUATORS[row.task_kind]
        value = json.loads(row.facts)
        _classify(value, repository, policy)
        decision = evaluate(decode(facts_type, value), policy, row.evaluated_at)
        decided[row.pk] = json.loads(json.dumps(encode(decision)))
    return decided


def _classify(value: dict[str, Any], repository: Repository, policy: Policy) -> None:
    def class_of(name: str) -> str:
        return branch_class_of(name, default_branches={repository.default_branch}, policy=policy)

    if "branch_class" in value:
        now = class_of(value["place"]["branch"])
        drifts = value.get("governed_head") not in (None, value["observed_head"])
        value["branch_class"] = stricter_class(now, value["branch_class"]) if drifts else now
    if "base_classes" in value:
        value["base_classes"] = [[base, class_of(base)] for base, _ in value["base_classes"]]


def _fingerprint(where: Any, check: str, stable_class: str) -> str:
    return finding_fingerprint(
        tenant=where.tenant,
        repo=where.repo,
        branch=where.branch,
        check_kind=check,
        stable_class=stable_class,
    )


Told = dict[str, set[tuple[str, str, str]]]


def _changes(rows: list[Evaluation], before: Any, after: Any) -> Told:
    """Return fingerprints with tenant and repository, by change, from plain sets."""

    def stated(decisions: Any, *, alerting: bool) -> set[tuple[str, str, str]]:
        return {
            (
                _fingerprint(row.task, row.task_kind, one["stable_class"]),
                row.task.tenant,
                row.task.repo,
            )
            for row in rows
            for one in decisions[row.pk]["findings"]
            if one["alerting"] or not alerting
        }

    newest: dict[tuple[str, str, str], tuple[str, str]] = {}
    for row in rows:
        was = {one["stable_class"]: one["severity"] for one in before[row.pk]["findings"]}
        for one in after[row.pk]["findings"]:
            if (name := one["stable_class"]) in was:
                key = (_fingerprint(row.task, row.task_kind, name), row.task.tenant, row.task.repo)
                newest.setdefault(key, (was[name], one["severity"]))
    old, new = stated(before, alerting=False), stated(after, alerting=False)
    spoke, speaks = stated(before, alerting=True), stated(after, alerting=True)
    return {
        "finding_gained": new - old,
        "finding_lost": old - new,
        "alert_gained": speaks - spoke,
        "alert_lost": spoke - speaks,
        "severity_changed": {key for key, (one, other) in newest.items() if one != other},
    }


def _by_repository(expected: Told) -> dict[tuple[str, str], dict[str, int]]:
    places = {(tenant, repo) for keys in expected.values() for _, tenant, repo in keys}
    return {
        place: {
            change: sum((tenant, repo) == place for _, tenant, repo in expected[change])
            for change in CHANGES
        }
        for place in places
    }


def _decisions(rows: list[Evaluation], before: Any, after: Any) -> dict[tuple[str, str, str], int]:
    def substance(decision: Any) -> Any:
        return [decision["decision"]] + [
            (one["stable_class"], one["severity"], one["alerting"],
             [(hit["rule"], hit["weight"]) for hit in one["rule_hits"]])
            for one in decision["findings"]
        ]  # fmt: skip

    return dict(
        Counter(
            (row.task_kind, before[row.pk]["decision"], after[row.pk]["decision"])
            for row in rows
            if substance(before[row.pk]) != substance(after[row.pk])
        )
    )


def test_a_simulation_stores_nothing(repositories: list[Repository]) -> None:
    decide_and_store(occasions(repositories, number=50, seed=3))
    tables = (PolicyVersion, EffectivePolicy, Evaluation, Finding, ReconciliationTask, AuditEntry)
    before = [table._default_manager.count() for table in tables]

    with CaptureQueriesContext(connection) as queries:
        run("rules: {drift.unknown: {weight: 90}}")

    assert [table._default_manager.count() for table in tables] == before
    writes = ("INSERT", "UPDATE", "DELETE")
    assert [one["sql"] for one in queries if one["sql"].startswith(writes)] == []


def test_a_simulation_costs_the_same_statements_for_few_and_for_many_evaluations(
    repositories: list[Repository],
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert run("rules: {drift.unknown: {weight: 90}}").differences.differing > 0
        return len(queries)

    decide_and_store(occasions(repositories, number=60, seed=3))
    few = statements()
    decide_and_store(occasions(repositories, number=1500, seed=4))

    assert statements() == few


def decided(repository: Repository, facts: Any, at: datetime = NOON) -> None:
    """Store the decision on facts of the hour before `at`."""
    kind = "stale_branch" if isinstance(facts, StaleFacts) else "head_drift"
    if kind == "head_drift":
        facts = replace(facts, head_changed_at=at - timedelta(hours=1))
    decide_and_store([Occasion(repository, kind, facts, at)])


@pytest.mark.parametrize(
    ("at", "is_seen"),
    [
        (NOON - MONTH, True),
        (NOON - MONTH - timedelta(microseconds=1), False),
        (NOON, True),
        (NOON + timedelta(microseconds=1), False),
    ],
)
def test_the_span_of_time_includes_both_of_its_ends(
    tenant_world: World, at: datetime, is_seen: bool
) -> None:
    decided(tenant_world.repository, head_facts(), at)

    assert run("{}").differences.evaluations == is_seen


def test_a_bound_leaves_out_the_oldest_and_says_since_when_it_knows(
    tenant_world: World,
) -> None:
    moments = [NOON - timedelta(hours=hours) for hours in range(5)]
    for number, at in enumerate(moments):
        decided(tenant_world.repository, head_facts(place=place(f"b{number}")), at)

    text = "rules: {drift.ungoverned_other: {weight: 90}}"
    bounded, exact = (run(text, most_evaluations=most) for most in (3, 5))

    assert (bounded.is_complete, bounded.oldest_at) == (False, moments[2])
    assert bounded.differences.total["alert_gained"] == 3
    assert (exact.is_complete, exact.oldest_at) == (True, moments[4])


def test_a_bound_counts_only_branches_that_a_pattern_reaches(tenant_world: World) -> None:
    for hours, name in enumerate(("release/1", "topic", "release/2", "release/3")):
        decided(
            tenant_world.repository,
            head_facts(place=place(name)),
            NOON - timedelta(hours=hours),
        )

    found = run(
        "alerts: {from_severity: info}", "branch", "acme/main/api", pattern="release/*",
        most_evaluations=2,
    )  # fmt: skip

    assert (found.differences.evaluations, found.is_complete) == (2, False)
    assert {example.place.branch for example in found.examples} == {"release/1", "release/2"}


def test_more_findings_than_may_be_remembered_end_it_early(
    tenant_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "MOST_FINDINGS", 2)
    for number in range(4):
        at = NOON - timedelta(hours=number)
        decided(tenant_world.repository, head_facts(place=place(f"b{number}")), at)

    found = run("rules: {drift.ungoverned_other: {weight: 90}}")

    assert (found.differences.evaluations, found.is_complete) == (2, False)


def test_what_changed_since_is_not_blamed_on_the_draft_when_compared_with_what_is_in_force(
    tenant_world: World, now: datetime
) -> None:
    decided(tenant_world.repository, head_facts())
    publish("rules: {drift.ungoverned_other: {weight: 90}}", "site", "", now=now)

    stored, in_force = (
        run("stale_branch: {idle_days: 59}", against=against)
        for against in (Against.STORED, Against.IN_FORCE)
    )

    assert stored.differences.total["alert_gained"] == 1
    assert in_force.differences.differing == 0


def test_compared_with_what_is_in_force_the_draft_still_shows_its_own_effect(
    tenant_world: World, now: datetime
) -> None:
    decided(tenant_world.repository, head_facts())
    publish("rules: {drift.ungoverned_other: {weight: 90}}", "tenant", "acme", now=now)

    found = run("{}", against=Against.IN_FORCE)

    assert found.differences.total["alert_lost"] == 1
    assert run("{}", against=Against.STORED).differences.differing == 0


def test_an_example_says_which_rules_differ(tenant_world: World) -> None:
    decided(tenant_world.repository, head_facts("diverged"))

    (example,) = [
        one
        for one in run("branches: {protected: [topic]}").examples
        if one.change == "severity_changed"
    ]

    assert (example.before, example.after) == ("drift", "drift")
    assert example.rules_lost == (("drift.rewrite_other", 20),)
    assert example.rules_gained == (("drift.rewrite_protected", 95),)
    assert example.was is not None
    assert example.would_be is not None
    assert (example.was.severity, example.would_be.severity) == ("low", "critical")


@pytest.mark.parametrize("column", ["facts", "decision"])
@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", '{"findings": [{}], "decision": "x"}'])
def test_what_cannot_be_read_is_counted_and_stops_nothing(
    tenant_world: World, column: str, text: str
) -> None:
    decided(tenant_world.repository, head_facts(), NOON)
    Evaluation.objects.update(**{column: text})
    decided(tenant_world.repository, head_facts(place=place("main")), NOON)

    found = run("rules: {drift.ungoverned_protected: {weight: 90}}")

    assert found.gaps.unreadable == 1
    assert found.differences.total["alert_gained"] == 1


def test_what_was_not_looked_at_then_is_told(tenant_world: World) -> None:
    unread = ChangedPaths(False, (), False)
    decided(tenant_world.repository, head_facts(changed=unread))
    decided(tenant_world.repository, stale_facts(idle=timedelta(days=50)))

    found = run("changes: {high_risk_paths: ['auth/**']}\nstale_branch: {idle_days: 30}")

    assert (found.gaps.without_paths, found.gaps.without_merges) == (1, 1)


def changed_now(text: str) -> dict[str, tuple[str, ...]]:
    return {one.key.branch: one.changes for one in run(text).if_published.each}


ALERTING = "rules: {drift.ungoverned_other: {weight: 90}, drift.rewrite_other: {weight: 90}}"


def test_what_publishing_would_do_now_is_for_the_newest_evaluation_to_say(
    tenant_world: World,
) -> None:
    repository = tenant_world.repository
    decided(repository, head_facts(place=place("again")), NOON - timedelta(hours=2))
    decided(repository, head_facts(place=place("again")), NOON - timedelta(hours=1))
    decided(repository, head_facts(place=place("over")), NOON - timedelta(hours=2))
    decided(repository, head_facts(observed_head=A, place=place("over")), NOON)

    assert changed_now(ALERTING) == {"again": ("alert_gained", "severity_changed")}


def test_where_the_newest_evaluation_cannot_be_read_no_older_one_speaks_for_it(
    tenant_world: World,
) -> None:
    decided(tenant_world.repository, head_facts(), NOON)
    Evaluation.objects.update(facts="{}")
    decided(tenant_world.repository, head_facts(), NOON - timedelta(hours=1))

    assert changed_now(ALERTING) == {}


def test_publishing_changes_nothing_now_where_nothing_is_checked_again(
    tenant_world: World,
) -> None:
    dead = renewal_facts(left=seconds(0), last_heartbeat_at=NOON - timedelta(hours=1))
    decide_and_store([Occasion(tenant_world.repository, "lease_renewal", dead, NOON)])
    assert run("lease: {mode: 'off'}").differences.total["finding_lost"] == 1
    assert changed_now("lease: {mode: 'off'}") == {}
    decided(tenant_world.repository, head_facts(), NOON)
    Repository.objects.update(is_active=False)

    assert changed_now(ALERTING) == {}


def test_what_a_draft_would_do_now_is_decided_as_of_now(tenant_world: World) -> None:
    then = NOON - timedelta(days=10)
    decided(tenant_world.repository, stale_facts(last_activity_at=NOON - timedelta(days=45)), then)

    found = run("stale_branch: {idle_days: 30, notice_days: 10}")

    # Then it had been idle for 35 days, and notice was to be given; by now that has passed.
    assert [one.after for one in found.examples] == ["notice"]
    assert [one.summary for one in found.if_published.each] != [
        one.would_be.summary for one in found.examples if one.would_be
    ]


def test_rules_that_changed_are_not_blamed_on_the_draft(tenant_world: World) -> None:
    decided(tenant_world.repository, head_facts())
    row = Evaluation.objects.get()
    decision = json.loads(row.decision)
    decision["findings"][0]["severity"] = "high"  # as rules of another number had it
    Evaluation.objects.update(decision=json.dumps(decision))
    text = "head_drift: {settle_seconds: 14}"
    assert run(text).differences.total["severity_changed"] == 1

    Evaluation.objects.update(rules_version=row.rules_version + 1)

    assert run(text).differences.differing == 0


def test_a_draft_that_could_not_be_published_cannot_be_simulated(
    tenant_world: World, now: datetime
) -> None:
    publish("lease: {mode: alert}\nfloors: [lease.mode]", "site", "", now=now)

    with pytest.raises(PolicyRefused):
        run("lease: {mode: observe}")
