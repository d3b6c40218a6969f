"""Publishing policy versions: versions, floors, the second person, the trail, what lies below."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from audit.domain.entries import Actor, ActorKind
from audit.models import AuditEntry
from audit.services import verify
from governance.domain.policy_text import read_policy
from governance.models import Immutable, Membership, PolicyVersion, Role
from governance.selectors.policies import explain
from governance.selectors.policy_places import NoSuchPlace, policy_place, versions_at
from governance.services.policies import UnknownRepository, effective_policy
from governance.services.policy_approval import (
    NotAnApprover,
    approver_by_name,
    approver_by_token,
)
from governance.services.policy_planning import PolicyRefused, plan_version
from governance.services.policy_publishing import (
    ApprovalNeeded,
    BadReason,
    PolicyChangedMeanwhile,
    Published,
    publish_version,
)
from tests.conftest import World
from tests.factories.governance import (
    CORRELATION_ID,
    NOON,
    ApiTokenFactory,
    BranchFactory,
    RepositoryFactory,
    WorkspaceFactory,
)

pytestmark = pytest.mark.django_db

ANN, BOB = Actor(ActorKind.USER, "ann"), Actor(ActorKind.USER, "bob")
REASON = "agreed in the review of March"
FLOOR_60 = "head_drift: {settle_seconds: 60}\nfloors: [head_drift.settle_seconds]"


def publish(
    text: str,
    layer: str,
    target: str = "",
    *,
    pattern: str = "",
    layer_of_text: str = "",
    **options: Any,
) -> Published:
    return publish_version(
        read_policy(text, file="p.yaml", layer=layer_of_text or layer, rules=()),
        place=policy_place(layer=layer, target=target, branch_pattern=pattern),
        **{
            "author": ANN,
            "approved_by": None,
            "reason": REASON,
            "expected_version": None,
            "correlation_id": CORRELATION_ID,
            "now": NOON,
            **options,
        },
    )


def data_of(entry: AuditEntry) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(entry.body)["data"]
    return data


def test_a_published_version_is_in_force_and_numbered_from_one(tenant_world: World) -> None:
    first = publish("stale_branch: {idle_days: 20}", "workspace", "acme/main")
    second = publish("stale_branch: {idle_days: 30}", "workspace", "acme/main")

    assert [first.version.version, second.version.version] == [1, 2]
    policy = effective_policy(tenant_world.repository.pk, "")
    assert policy.stale_branch.idle_days == 30


def test_what_was_published_stands_in_the_trail_with_every_change(tenant_world: World) -> None:
    publish("lease: {mode: off}", "tenant", "acme")

    published = publish(
        "stale_branch: {idle_days: 30}\nfloors: [stale_branch.idle_days]", "tenant", "acme"
    )

    entry = AuditEntry.objects.filter(tenant="acme").latest("seq")
    assert (entry.action, entry.actor_name, entry.object_id) == (
        "policy.publish",
        "ann",
        "tenant acme",
    )
    assert entry.policy_version == published.version.digest
    assert data_of(entry)["changes"] == [
        {"key": "floors", "before": None, "after": ["stale_branch.idle_days"]},
        {"key": "lease.mode", "before": "off", "after": None},
        {"key": "stale_branch.idle_days", "before": None, "after": 30},
    ]
    assert verify("acme") is None


def test_a_site_policy_is_told_in_the_trail_of_no_tenant(tenant_world: World) -> None:
    publish("lease: {mode: observe}", "site")

    assert AuditEntry.objects.get().tenant == ""
    assert effective_policy(tenant_world.strange_repository.pk, "").lease.mode == "observe"


def test_publishing_the_document_in_force_again_changes_nothing(tenant_world: World) -> None:
    publish("branches: {keep: [b, a]}", "tenant", "acme")

    again = publish("branches: {keep: [a, b, a]}\nlease: {}", "tenant", "acme")

    assert (again.is_new, again.version.version) == (False, 1)
    assert AuditEntry.objects.count() == 1


def test_rolling_back_is_publishing_the_old_document_again(tenant_world: World) -> None:
    for days in (10, 20, 10):
        publish(f"stale_branch: {{idle_days: {days}}}", "tenant", "acme")

    rows = list(PolicyVersion.objects.order_by("version").values_list("version", "digest"))
    assert [version for version, _ in rows] == [1, 2, 3]
    assert rows[0][1] == rows[2][1]


def test_a_version_can_be_neither_changed_nor_deleted(tenant_world: World) -> None:
    version = publish("lease: {mode: off}", "tenant", "acme").version

    with pytest.raises(Immutable):
        version.save()
    with pytest.raises(Immutable):
        version.delete()


def test_a_document_with_errors_is_refused_with_every_line(tenant_world: World) -> None:
    with pytest.raises(PolicyRefused) as refused:
        publish("lease:\n  mood: off\n  mode: loud", "tenant", "acme")

    assert [(one.line, one.code) for one in refused.value.problems] == [
        (2, "unknown_key"),
        (3, "not_a_choice"),
    ]
    assert not PolicyVersion.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_document_checked_for_another_layer_is_checked_again(tenant_world: World) -> None:
    with pytest.raises(PolicyRefused, match="wrong_layer"):
        publish(
            "branches: {protected: [main]}",
            "branch",
            "acme/main/api",
            pattern="main",
            layer_of_text="site",
        )


@pytest.mark.parametrize("reason", ["", "too short", " " * 20, "x" * 501])
def test_a_reason_must_tell_something(tenant_world: World, reason: str) -> None:
    with pytest.raises(BadReason):
        publish("lease: {mode: off}", "tenant", "acme", reason=reason)


class TestFloors:
    def test_a_layer_looser_than_a_floor_above_is_refused_at_its_line(
        self, tenant_world: World
    ) -> None:
        publish(FLOOR_60, "tenant", "acme")

        with pytest.raises(PolicyRefused) as refused:
            publish("head_drift:\n  settle_seconds: 61", "repository", "acme/main/api")

        (problem,) = refused.value.problems
        assert (problem.line, problem.code) == (2, "below_floor")
        assert "tenant acme v1" in problem.message

    @pytest.mark.parametrize("seconds", [60, 59])
    def test_an_equal_or_tighter_layer_is_published(
        self, tenant_world: World, seconds: int
    ) -> None:
        publish(FLOOR_60, "tenant", "acme")

        publish(f"head_drift: {{settle_seconds: {seconds}}}", "repository", "acme/main/api")

        policy = effective_policy(tenant_world.repository.pk, "")
        assert policy.head_drift.settle_seconds == seconds

    def test_a_floor_laid_later_wins_over_a_looser_layer_and_the_plan_says_so(
        self, tenant_world: World
    ) -> None:
        publish("head_drift: {settle_seconds: 120}", "repository", "acme/main/api")
        publish("head_drift: {settle_seconds: 40}", "workspace", "acme/main")

        published = publish(FLOOR_60, "site")

        repository = tenant_world.repository
        assert effective_policy(repository.pk, "").head_drift.settle_seconds == 60
        (below,) = published.plan.overruled_below
        assert (below.layer, below.wanted, below.in_force) == ("repository acme/main/api", 120, 60)
        origins = {origin.key: origin for origin in explain(repository.pk, "").origins}
        origin = origins["head_drift.settle_seconds"]
        assert [maker.name for maker in origin.layers] == ["site"]
        assert [over.layer.name for over in origin.overruled] == ["repository acme/main/api"]

    def test_a_branch_pattern_may_not_dig_under_a_floor_of_a_broader_one(
        self, tenant_world: World
    ) -> None:
        publish(FLOOR_60, "branch", "acme/main/api", pattern="release/**")

        with pytest.raises(PolicyRefused, match="below_floor"):
            publish(
                "head_drift: {settle_seconds: 90}", "branch", "acme/main/api", pattern="release/1.*"
            )
        publish("head_drift: {settle_seconds: 90}", "branch", "acme/main/api", pattern="dev")


class TestTheSecondPerson:
    @pytest.mark.parametrize(
        "looser",
        [
            "head_drift: {settle_seconds: 61}\nfloors: [head_drift.settle_seconds]",
            "head_drift: {settle_seconds: 60}",
            "{}",
        ],
    )
    @pytest.mark.parametrize("approver", [None, ANN, Actor(ActorKind.TOKEN, "Ann")])
    def test_loosening_a_floor_needs_somebody_else(
        self, tenant_world: World, looser: str, approver: Actor | None
    ) -> None:
        publish(FLOOR_60, "tenant", "acme")

        with pytest.raises(ApprovalNeeded) as needed:
            publish(looser, "tenant", "acme", approved_by=approver)

        assert needed.value.floors == ("head_drift.settle_seconds",)
        assert PolicyVersion.objects.count() == 1

    def test_with_somebody_else_it_is_published_and_both_are_in_the_trail(
        self, tenant_world: World
    ) -> None:
        publish(FLOOR_60, "tenant", "acme")

        publish("{}", "tenant", "acme", approved_by=BOB)

        entry = AuditEntry.objects.latest("seq")
        assert entry.actor_name == "ann"
        assert data_of(entry)["approved_by"] == "user:bob"
        assert data_of(entry)["loosened_floors"] == ["head_drift.settle_seconds"]
        assert PolicyVersion.objects.get(version=2).approved_by == "bob"

    @pytest.mark.parametrize("approver", [None, ANN])
    def test_without_somebody_else_a_version_names_nobody(
        self, tenant_world: World, approver: Actor | None
    ) -> None:
        publish("lease: {mode: off}", "tenant", "acme", approved_by=approver)

        assert PolicyVersion.objects.get().approved_by == ""
        assert data_of(AuditEntry.objects.get())["approved_by"] == ""

    def test_tightening_a_floor_needs_nobody_else(self, tenant_world: World) -> None:
        publish(FLOOR_60, "tenant", "acme")

        publish(FLOOR_60.replace("60", "59"), "tenant", "acme")

        assert PolicyVersion.objects.count() == 2

    def test_dropping_a_floor_that_the_site_lays_too_needs_nobody_else(
        self, tenant_world: World
    ) -> None:
        publish(FLOOR_60, "site")
        publish(FLOOR_60, "tenant", "acme")

        publish("{}", "tenant", "acme")

        assert PolicyVersion.objects.count() == 3

    def test_an_approver_is_an_admin_of_the_tenant(self, tenant_world: World) -> None:
        users = get_user_model().objects
        for name, role in (("admin", Role.ADMIN), ("operator", Role.OPERATOR)):
            user = users.create(username=name)
            Membership.objects.create(user=user, tenant=tenant_world.tenant, role=role)
        users.create(username="gone", is_superuser=True, is_active=False)
        users.create(username="root", is_superuser=True)

        assert approver_by_name("admin", tenant="acme") == Actor(ActorKind.USER, "admin")
        assert approver_by_name("root", tenant="").name == "root"
        for name, tenant in (
            ("operator", "acme"),
            ("admin", "rival"),
            ("admin", ""),
            ("gone", ""),
            ("nobody", "acme"),
        ):
            with pytest.raises(NotAnApprover):
                approver_by_name(name, tenant=tenant)

    def test_an_approving_token_must_be_live_and_reach_the_place(
        self, tenant_world: World, now: datetime
    ) -> None:
        acme = tenant_world.tenant
        ApiTokenFactory.create(clear="rcl_site", name="site bot", scopes=["admin"])
        ApiTokenFactory.create(clear="rcl_acme", name="acme bot", scopes=["admin"], tenant=acme)
        ApiTokenFactory.create(clear="rcl_read", name="reader", scopes=["read"], tenant=acme)
        late = now + timedelta(days=365 * 200)

        assert approver_by_token("rcl_acme", tenant="acme", now=now).name == "acme bot"
        assert approver_by_token("rcl_site", tenant="", now=now).name == "site bot"
        for clear, tenant, at in (
            ("rcl_acme", "rival", now),
            ("rcl_acme", "", now),
            ("rcl_read", "acme", now),
            ("rcl_nothing", "acme", now),
            ("rcl_acme", "acme", late),
        ):
            with pytest.raises(NotAnApprover):
                approver_by_token(clear, tenant=tenant, now=at)


class TestMeanwhile:
    def test_a_version_written_over_another_one_is_refused(self, tenant_world: World) -> None:
        publish("lease: {mode: off}", "tenant", "acme", expected_version=0)

        with pytest.raises(PolicyChangedMeanwhile, match="at version 1, not 0"):
            publish("lease: {mode: alert}", "tenant", "acme", expected_version=0)
        publish("lease: {mode: alert}", "tenant", "acme", expected_version=1)

    def test_of_two_that_publish_at_once_the_second_is_told(
        self, tenant_world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = policy_place(layer="tenant", target="acme")
        text = read_policy("lease: {mode: off}", file="p.yaml", layer="tenant", rules=())
        stale = plan_version(text, place=place)
        publish("lease: {mode: observe}", "tenant", "acme")
        monkeypatch.setattr(
            "governance.services.policy_publishing.plan_version", lambda *_, **__: stale
        )

        with pytest.raises(PolicyChangedMeanwhile, match="just now"):
            publish("lease: {mode: off}", "tenant", "acme")

        assert PolicyVersion.objects.get().document == {"lease": {"mode": "observe"}}
        assert AuditEntry.objects.count() == 1


class TestPlaces:
    @pytest.mark.parametrize(
        ("layer", "target", "pattern"),
        [
            ("galaxy", "", ""),
            ("site", "acme", ""),
            ("tenant", "", ""),
            ("tenant", "nobody", ""),
            ("tenant", "acme/main", ""),
            ("workspace", "acme/other", ""),
            ("repository", "acme/main/other", ""),
            ("repository", "rival/main/other", ""),
            ("repository", "acme/main/api", "x"),
            ("branch", "acme/main/api", ""),
            ("branch", "acme/main/api", "refs/heads/x"),
            ("branch", "acme/main/api", "a\nb"),
            ("branch", "acme/main/api", "x" * 201),
        ],
    )
    def test_what_is_no_place_is_told(
        self, tenant_world: World, layer: str, target: str, pattern: str
    ) -> None:
        with pytest.raises(NoSuchPlace):
            policy_place(layer=layer, target=target, branch_pattern=pattern)

    def test_a_moved_repository_goes_on_with_its_versions(self, tenant_world: World) -> None:
        publish("lease: {mode: off}", "repository", "acme/main/api")
        repository = tenant_world.repository
        repository.workspace = WorkspaceFactory.create(tenant=tenant_world.tenant, slug="moved")
        repository.save()

        published = publish("lease: {mode: observe}", "repository", "acme/moved/api")

        assert published.version.version == 2
        assert effective_policy(repository.pk, "").lease.mode == "observe"
        assert [row.version for row in versions_at(published.plan.place)] == [2, 1]

    def test_there_is_no_policy_of_nothing(self, tenant_world: World) -> None:
        with pytest.raises(UnknownRepository):
            effective_policy(0, "")


class TestPatternsWithoutBranches:
    def test_a_pattern_that_matches_no_branch_is_a_warning_at_its_line(
        self, tenant_world: World
    ) -> None:
        text = "branches:\n  protected:\n  - maim\n  - main"

        published = publish(text, "workspace", "acme/main")

        assert [(one.line, one.code) for one in published.plan.warnings] == [
            (3, "matches_no_branch")
        ]

    def test_only_branches_that_exist_at_the_place_count(self, tenant_world: World) -> None:
        BranchFactory.create(repository=tenant_world.repository, name="gone", observed_head=None)
        BranchFactory.create(repository=tenant_world.strange_repository, name="theirs")

        published = publish("branches: {keep: [gone, theirs, main]}", "tenant", "acme")

        assert [one.message for one in published.plan.warnings] == [
            "'gone' matches no branch seen so far",
            "'theirs' matches no branch seen so far",
        ]

    def test_where_no_branch_was_seen_yet_nothing_is_said(self, tenant_world: World) -> None:
        RepositoryFactory.create(tenant=tenant_world.tenant, slug="empty")

        published = publish("lease: {mode: off}", "branch", "acme/main/empty", pattern="x")

        assert published.plan.warnings == ()

    def test_the_pattern_of_the_layer_itself_counts_too(self, tenant_world: World) -> None:
        published = publish("lease: {mode: off}", "branch", "acme/main/api", pattern="releas/**")

        assert [one.code for one in published.plan.warnings] == ["matches_no_branch"]
