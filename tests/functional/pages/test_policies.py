"""The policy pages: the layers in force, their history, why a value holds, and drafts."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.domain.entries import Actor, ActorKind
from governance.models import PolicyVersion
from reconciliation.services.policy_rollout import Rollout
from reconciliation.views import simulating
from tests.factories.story import Story
from tests.functional.pages.conftest import AsPerson
from tests.integration.policy.acts import publish
from tests.integration.policy.history import Occasion, decide_and_store
from tests.unit.evaluators.facts import head_facts, place

BOB = Actor(ActorKind.USER, "bob")
FLOOR = "head_drift: {settle_seconds: 30}\nfloors: [head_drift.settle_seconds]"


def put(text: str, layer: str = "tenant", target: str = "acme", **more: Any) -> Rollout:
    return publish(text, layer, target, now=timezone.now(), **more)


def seen(client: Client, address: str, **query: str) -> str:
    response = client.get(f"{address}?{urlencode(query)}" if query else address)
    assert response.status_code == 200, address
    return " ".join(response.content.decode().split())


class TestLayers:
    def test_every_layer_is_listed_below_the_one_that_it_lies_in(self, as_person: AsPerson) -> None:
        put("lease: {mode: observe}", "repository", "acme/main/billing-api")
        put("lease: {mode: alert}", "branch", "acme/main/billing-api", pattern="release/**")
        put("{}", "workspace", "acme/main")
        put(FLOOR, "site", "")
        put("stale_branch: {idle_days: 30}")
        put("stale_branch: {idle_days: 40}")

        page = seen(as_person("root"), "/policies")

        names = [
            "the site",
            ">acme<",
            "acme/main<",
            "acme/main/billing-api<",
            "billing-api @ release/**<",
        ]
        places = [page.index(name) for name in names]
        assert places == sorted(places)
        assert page.count("stale_branch.idle_days") == 1

    def test_the_list_goes_on_over_pages_without_a_gap(
        self, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reconciliation.views.policies.PAGE_SIZE", 2)
        for pattern in ("a", "B", "ü", "z@z"):
            put("{}", "branch", "acme/main/billing-api", pattern=pattern)
        put("{}")
        client, after, found = as_person("root"), "", []

        for _ in range(3):
            response = client.get("/policies", {"after": after})
            found += [line.name for line in response.context["page"].lines]
            after = response.context["page"].after

        assert found == [
            "tenant acme",
            *(f"branch acme/main/billing-api @{name}" for name in ("B", "a", "z@z", "ü")),
        ]
        assert after == ""

    def test_where_nobody_published_anything_the_page_says_so(self, as_person: AsPerson) -> None:
        assert "Nobody published a policy yet" in seen(as_person("vera"), "/policies")

    def test_a_layer_shows_its_document_and_what_each_version_changed(
        self, as_person: AsPerson
    ) -> None:
        put("branches: {protected: ['release/*']}\n" + FLOOR)
        put("branches: {protected: ['release/*']}", approved_by=BOB)

        page = seen(as_person("vera"), "/policies/layer", layer="tenant", target="acme")

        assert "protected: - release/*" in page
        assert 'head_drift.settle_seconds</code> <span class="muted">30</span> → not set' in page
        assert 'branches.protected</code> <span class="muted">not set</span> → release/*' in page
        assert "by ann, approved by bob" in page

    def test_older_versions_are_on_the_next_page_and_compared_across_it(
        self, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reconciliation.views.policies._VERSIONS_SHOWN", 2)
        for days in (10, 20, 30):
            put(f"stale_branch: {{idle_days: {days}}}")
        client = as_person("vera")
        query = {"layer": "tenant", "target": "acme"}

        first = client.get("/policies/layer", query).context
        second = client.get("/policies/layer", {**query, "before": str(first["more"])}).context

        told = [
            (version.version, version.changes[0].before, version.changes[0].after)
            for page in (first, second)
            for version in page["versions"]
        ]
        assert told == [(3, 20, 30), (2, 10, 20), (1, None, 10)]
        assert second["more"] is None
        assert second["current"].version == 3

    @pytest.mark.parametrize(
        "query",
        [
            {"layer": "tenant", "target": "borealis"},
            {"layer": "tenant", "target": "nobody"},
            {"layer": "workspace", "target": "acme"},
            {"layer": "tenant", "target": "acme"},
            {},
        ],
        ids=["another's", "unknown", "no address", "nothing published", "nothing"],
    )
    def test_what_is_not_there_or_not_ones_own_is_told_alike(
        self, as_person: AsPerson, query: dict[str, str]
    ) -> None:
        put("{}", target="borealis")

        assert as_person("vera").get("/policies/layer", query).status_code == 404

    def test_of_other_tenants_no_layer_is_listed(self, as_person: AsPerson) -> None:
        put("{}", target="borealis")
        put("{}", "site", "")

        page = seen(as_person("vera"), "/policies")

        assert "the site" in page
        assert "borealis" not in page

    def test_without_a_membership_there_is_nothing_to_see(self, as_person: AsPerson) -> None:
        put("lease: {mode: observe}", "site", "")

        assert "lease.mode" not in seen(as_person("nina"), "/policies")


class TestExplained:
    def test_every_value_comes_with_its_layer_its_floor_and_who_was_overruled(
        self, as_person: AsPerson
    ) -> None:
        put("head_drift: {settle_seconds: 90}", "repository", "acme/main/billing-api")
        put(FLOOR, "site", "")

        page = seen(as_person("vera"), "/policies/explain", repo="acme/billing-api", branch="main")

        assert "What holds for main, and why" in page
        assert "floor 30 of site v1" in page
        assert "repository acme/main/billing-api v1 asked for 90" in page
        assert "How long a branch may be idle." in page

    def test_what_no_layer_speaks_of_can_be_left_out(self, as_person: AsPerson) -> None:
        put("lease: {mode: observe}")

        page = seen(as_person("vera"), "/policies/explain", repo="acme/billing-api", set="1")

        assert "lease.mode" in page
        assert "stale_branch.idle_days" not in page

    @pytest.mark.parametrize("repo", ["borealis/records", "acme/nothing", "acme", ""])
    def test_of_others_and_of_nothing_nothing_is_explained(
        self, as_person: AsPerson, repo: str
    ) -> None:
        assert as_person("vera").get("/policies/explain", {"repo": repo}).status_code == 404


def form(text: str, layer: str = "tenant", target: str = "acme", **more: str) -> dict[str, str]:
    return {
        "layer": layer,
        "target": target,
        "branch_pattern": "",
        "days": "30",
        "against": "stored",
        "text": text,
        **more,
    }


@pytest.fixture
def history(story: Story) -> None:
    """Decide about two rewritten branches, an hour ago."""
    at = story.now - timedelta(hours=1)
    for name in ("acme/billing-api", "borealis/records"):
        facts = head_facts(
            "diverged", place=place("topic"), head_changed_at=at - timedelta(hours=1)
        )
        decide_and_store([Occasion(story.repositories[name], "head_drift", facts, at)])


class TestSimulation:
    PROTECT = "branches:\r\n  protected: [topic]\r\n"

    def test_what_would_have_changed_is_shown_with_examples(
        self, as_person: AsPerson, history: None
    ) -> None:
        response = as_person("vera").post("/policies/simulate", form(self.PROTECT))

        page = " ".join(response.content.decode().split())
        assert response.status_code == 200
        assert response.context["found"].differences.total["alert_gained"] == 1
        assert "What tenant acme would have changed" in page
        assert "If it were published now" in page
        assert "What publishing the draft now would change" in page
        assert "alert gained" in page
        assert "drift.rewrite_protected" in page
        assert "acme/billing-api @ topic" in page
        assert "borealis" not in page
        assert "protected: [topic]" in page, "the draft stays, to be changed"
        assert not PolicyVersion.objects.exists()

    def test_where_nothing_changes_the_page_says_so(
        self, as_person: AsPerson, history: None
    ) -> None:
        response = as_person("vera").post("/policies/simulate", form(""))

        assert "Nothing would have come out otherwise." in response.content.decode()
        assert "No finding and no alert that holds would change." in response.content.decode()

    def test_a_wrong_draft_is_told_line_by_line(self, as_person: AsPerson, history: None) -> None:
        text = "branches:\r\n  protected: [topic]\r\nrules:\r\n  no.rule: {weight: 1}\r\n"

        response = as_person("vera").post("/policies/simulate", form(text))

        (problem,) = response.context["problems"]
        assert response.status_code == 400
        assert (problem.line, problem.code) == (4, "unknown_rule")
        assert "there is no such rule" in response.content.decode()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"target": "borealis"}, "not yours to see"),
            ({"target": "nobody"}, "not yours to see"),
            ({"target": ""}, "The target of a tenant layer is"),
            ({"layer": "site", "target": ""}, "Only who sees every tenant"),
            ({"layer": "galaxy"}, "Select a valid choice"),
            ({"days": "12"}, "Select a valid choice"),
            ({"layer": "branch", "target": "acme/main/billing-api"}, "needs a branch pattern"),
        ],
    )
    def test_what_makes_no_sense_or_is_not_ones_own_is_told_in_the_form(
        self, as_person: AsPerson, history: None, more: dict[str, str], message: str
    ) -> None:
        response = as_person("vera").post("/policies/simulate", {**form(self.PROTECT), **more})

        assert response.status_code == 400
        assert message in response.content.decode()
        assert "protected: [topic]" in response.content.decode()

    def test_who_sees_every_tenant_may_try_a_policy_of_the_site(
        self, as_person: AsPerson, history: None
    ) -> None:
        response = as_person("root").post("/policies/simulate", form(self.PROTECT, "site", ""))

        repositories = [place for place, _ in response.context["found"].differences.by_repository]
        assert repositories == [("acme", "billing-api"), ("borealis", "records")]

    def test_a_change_starts_from_what_is_in_force(self, as_person: AsPerson) -> None:
        put("stale_branch: {idle_days: 30}")

        page = as_person("vera").get("/policies/simulate", {"layer": "tenant", "target": "acme"})

        assert "stale_branch:\n  idle_days: 30\n" in page.content.decode()

    def test_of_another_tenant_nothing_in_force_is_given_away(self, as_person: AsPerson) -> None:
        put("stale_branch: {idle_days: 30}", target="borealis")
        query = {"layer": "tenant", "target": "borealis"}

        assert as_person("vera").get("/policies/simulate", query).status_code == 404

    def test_a_bound_that_was_reached_is_told(
        self, as_person: AsPerson, history: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(simulating, "MOST_EVALUATIONS", 1)

        page = as_person("root").post("/policies/simulate", form(self.PROTECT, "site", ""))

        assert "Only the newest 1 decision was looked at" in page.content.decode()

    def test_it_needs_a_login_and_a_token_against_forgery(self, story: Story) -> None:
        client = Client(enforce_csrf_checks=True)
        assert client.get("/policies/simulate").status_code == 302
        client.force_login(story.people["vera"])

        assert client.post("/policies/simulate", form("{}")).status_code == 403


def test_policy_pages_ask_as_often_for_many_layers_as_for_few(as_person: AsPerson) -> None:
    client = as_person("root")
    addresses = (
        "/policies",
        "/policies/layer?layer=tenant&target=acme",
        "/policies/explain?repo=acme/billing-api&branch=main",
    )

    def queries() -> list[int]:
        counted = []
        for address in addresses:
            with CaptureQueriesContext(connection) as captured:
                seen(client, address)
            counted.append(len(captured))
        return counted

    put("stale_branch: {idle_days: 1}")
    few = queries()
    for days in range(2, 15):
        put(f"stale_branch: {{idle_days: {days}}}")
        put("{}", "branch", "acme/main/billing-api", pattern=f"b{days}")

    assert queries() == few
    assert max(few) <= 10
