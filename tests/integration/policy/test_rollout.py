"""A published policy takes effect at once: classes of branches, and checks that judge anew."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.models import AuditEntry
from governance.models import Branch, PolicyVersion, Repository
from governance.services.policy_publishing import ApprovalNeeded
from governance.services.snapshots import accept_observed_head
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.models import Finding, ReconciliationTask
from tests.conftest import World
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_B,
    NOON,
    BranchFactory,
    RepositoryFactory,
)
from tests.factories.reconciliation import FindingFactory
from tests.integration.policy.acts import publish

pytestmark = pytest.mark.django_db


def branch(repository: Repository, name: str, **fields: Any) -> Branch:
    return BranchFactory.create(repository=repository, name=name, **fields)


def finding(repository: Repository, name: str, check: str = "head_drift", **fields: Any) -> Finding:
    fingerprint = finding_fingerprint(
        tenant=repository.tenant.slug,
        repo=repository.slug,
        branch=name,
        check_kind=check,
        stable_class="made up",
    )
    return FindingFactory.create(
        repository=repository, branch=name, check_kind=check, fingerprint=fingerprint, **fields
    )


def classes() -> dict[str, str]:
    rows = Branch.objects.values_list("repository__tenant__slug", "name", "branch_class")
    return {f"{tenant}:{name}": branch_class for tenant, name, branch_class in rows}


def planned() -> list[tuple[str, str]]:
    rows = ReconciliationTask.objects.order_by("pk")
    return [(row.branch, row.task_kind) for row in rows]


def effects() -> Any:
    entry = AuditEntry.objects.filter(action="policy.publish").latest("seq")
    data = json.loads(entry.body)["data"]
    return {name: data[name] for name in ("reclassified", "planned", "left")}


class TestClasses:
    def test_branches_below_the_layer_get_their_new_class_and_no_others(
        self, tenant_world: World, now: datetime
    ) -> None:
        for repository in (tenant_world.repository, tenant_world.strange_repository):
            branch(repository, "release/1")
            branch(repository, "topic")

        rollout = publish("branches: {protected: ['release/*', main], governed: [top*]}", now=now)

        assert rollout.reclassified == 2
        assert classes() == {
            "acme:main": "default",
            "acme:release/1": "protected",
            "acme:topic": "governed",
            "rival:release/1": "other",
            "rival:topic": "other",
        }

    def test_a_pattern_that_goes_takes_its_class_away(
        self, tenant_world: World, now: datetime
    ) -> None:
        branch(tenant_world.repository, "topic")
        publish("branches: {governed: [topic]}", now=now)

        publish("{}", now=now)

        assert classes()["acme:topic"] == "other"

    def test_a_branch_that_drifts_keeps_its_class_until_its_head_is_accepted(
        self, tenant_world: World, now: datetime
    ) -> None:
        publish("branches: {protected: [a, b]}", now=now)
        branch(tenant_world.repository, "a")
        branch(tenant_world.repository, "b")
        Branch.objects.filter(name__in=("a", "b")).update(branch_class="protected")
        Branch.objects.filter(name="a").update(observed_head=HEAD_B)

        publish("{}", now=now)
        assert (classes()["acme:a"], classes()["acme:b"]) == ("protected", "other")

        accept_observed_head(
            tenant_world.repository.pk,
            "a",
            expected_head=HEAD_B,
            caller=Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"})),
            reason="we looked at it",
            correlation_id=CORRELATION_ID,
            now=now,
        )
        assert classes()["acme:a"] == "other"

    def test_a_floor_that_overrules_a_lower_layer_reclassifies_too(
        self, tenant_world: World, now: datetime
    ) -> None:
        branch(tenant_world.repository, "reach/a")
        publish("branches: {naming: 'reach/<task>'}", "repository", "acme/main/api", now=now)
        assert classes()["acme:reach/a"] == "governed"

        publish("branches: {naming: ''}\nfloors: [branches.naming]", "site", "", now=now)

        assert classes()["acme:reach/a"] == "other"

    @pytest.mark.parametrize("text", ["lease: {mode: observe}", "branches: {keep: [topic]}"])
    def test_a_policy_that_moves_no_class_writes_no_branch(
        self, tenant_world: World, now: datetime, text: str
    ) -> None:
        branch(tenant_world.repository, "topic")

        with CaptureQueriesContext(
            connection,
        ) as queries:
            rollout = publish(text, now=now)

        assert rollout.reclassified == 0
        assert not [q for q in queries if q["sql"].startswith('UPDATE "governance_branch"')]
        assert not [q for q in queries if q["sql"].startswith("UPDATE governance_branch")]

    def test_the_cost_is_the_same_for_two_repositories_and_for_forty(
        self, tenant_world: World, now: datetime
    ) -> None:
        def statements(number: int, pattern: str) -> int:
            for _ in range(number):
                repository = RepositoryFactory.create(tenant=tenant_world.tenant)
                for name in ("x", "y", "z"):
                    branch(repository, name)
            with CaptureQueriesContext(connection) as queries:
                assert publish(f"branches: {{governed: [{pattern}]}}", now=now).reclassified > 0
            return len(queries)

        few = statements(2, "x")

        assert statements(40, "y") == few

    def test_a_refused_publication_changes_no_branch(
        self, tenant_world: World, now: datetime
    ) -> None:
        branch(tenant_world.repository, "topic")
        publish("branches: {governed: [topic]}\nfloors: [branches.governed]", now=now)
        tasks = ReconciliationTask.objects.count()

        with pytest.raises(ApprovalNeeded):
            publish("{}", now=now)

        assert classes()["acme:topic"] == "governed"
        assert ReconciliationTask.objects.count() == tasks

    def test_somebody_who_publishes_meanwhile_wins_and_nothing_of_ours_stays(
        self, tenant_world: World, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        branch(tenant_world.repository, "topic")

        def meanwhile(*_: Any, **__: Any) -> Sequence[Any]:
            PolicyVersion.objects.create(
                layer="tenant",
                tenant=tenant_world.tenant,
                target="acme",
                version=1,
                document={},
                digest="0" * 64,
                author="bob",
                reason="was faster than we were",
                published_at=NOON,
            )
            return ()

        monkeypatch.setattr("reconciliation.services.policy_rollout._checks", meanwhile)
        with pytest.raises(Exception, match="just now"):
            publish("branches: {governed: [topic]}", now=now)

        assert classes()["acme:topic"] == "other"
        assert not AuditEntry.objects.exists()


class TestChecks:
    def test_open_findings_reclassified_branches_and_heads_that_differ_are_checked_again(
        self, tenant_world: World, now: datetime
    ) -> None:
        repository = tenant_world.repository
        branch(repository, "differs", observed_head=HEAD_B)
        branch(repository, "gone", observed_head=None)
        branch(repository, "never-was", observed_head=None, governed_head=None)
        branch(repository, "quiet")
        branch(repository, "reclassified")
        for name in ("found", "resolved", "late"):
            branch(repository, name)
        finding(repository, "found", severity="low")
        finding(repository, "late", "stale_branch", severity="critical")
        finding(repository, "resolved", state="resolved")
        branch(tenant_world.strange_repository, "differs", observed_head=HEAD_B)

        rollout = publish("branches: {governed: [reclassified]}", now=now)

        assert planned() == [
            ("differs", "head_drift"),
            ("found", "head_drift"),
            ("gone", "head_drift"),
            ("late", "head_drift"),
            ("late", "stale_branch"),
            ("reclassified", "head_drift"),
        ]
        assert (rollout.planned, rollout.left) == (6, 0)
        assert OrmQ.objects.count() == 1
        task = ReconciliationTask.objects.first()
        assert task is not None
        assert task.correlation_id == AuditEntry.objects.get().correlation_id

    def test_no_more_than_the_cap_are_planned_and_the_worst_go_first(
        self, tenant_world: World, now: datetime
    ) -> None:
        for number, severity in enumerate(("info", "high", "medium", "critical", "low")):
            finding(tenant_world.repository, f"b{number}", severity=severity)
        branch(tenant_world.repository, "differs", observed_head=HEAD_B)

        rollout = publish("lease: {mode: observe}", now=now, most_checks=2)

        assert planned() == [("b1", "head_drift"), ("b3", "head_drift")]
        assert (rollout.planned, rollout.left) == (2, 4)
        assert effects() == {"reclassified": 0, "planned": 2, "left": 4}

    def test_a_branch_layer_has_only_its_own_branches_checked(
        self, tenant_world: World, now: datetime
    ) -> None:
        for name in ("release/1", "topic"):
            branch(tenant_world.repository, name, observed_head=HEAD_B)

        publish(
            "head_drift: {settle_seconds: 0}", "branch", "acme/main/api", pattern="release/**",
            now=now,
        )  # fmt: skip

        assert planned() == [("release/1", "head_drift")]

    def test_what_is_no_longer_reconciled_is_not_checked(
        self, tenant_world: World, now: datetime
    ) -> None:
        Repository.objects.filter(pk=tenant_world.repository.pk).update(is_active=False)
        branch(tenant_world.repository, "topic", observed_head=HEAD_B)
        finding(tenant_world.repository, "topic")

        publish("branches: {governed: [topic]}", now=now)

        assert classes()["acme:topic"] == "governed"
        assert planned() == []

    def test_findings_without_a_branch_or_of_leases_ask_for_no_check_of_their_own(
        self, tenant_world: World, now: datetime
    ) -> None:
        finding(tenant_world.repository, "", "lease_renewal")
        finding(tenant_world.repository, "main", "lease_renewal")

        publish("lease: {mode: observe}", now=now)

        assert planned() == [("main", "head_drift")]

    def test_a_document_in_force_already_leads_to_nothing(
        self, tenant_world: World, now: datetime
    ) -> None:
        publish("lease: {mode: observe}", now=now)
        finding(tenant_world.repository, "main")

        again = publish("lease: {mode: observe}", now=now)

        assert (again.published.is_new, again.numbers) == (
            False,
            {"reclassified": 0, "planned": 0, "left": 0},
        )
        assert planned() == []

    def test_each_version_has_checks_of_its_own(self, tenant_world: World, now: datetime) -> None:
        finding(tenant_world.repository, "main")

        publish("lease: {mode: observe}", now=now)
        publish("lease: {mode: alert}", now=now)

        assert planned() == [("main", "head_drift")] * 2
