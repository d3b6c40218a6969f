"""The policy API as a caller meets it: what is in force and why, checking, publishing, history."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from audit.models import AuditEntry
from governance.models import PolicyVersion
from reconciliation.models import ReconciliationTask
from tests.conftest import World
from tests.factories.governance import (
    ApiTokenFactory,
    BranchFactory,
    TenantFactory,
    api_client,
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.functional.policy.urls")]

VERSIONS = "/api/v1/policies/versions"
CHECK = "/api/v1/policies/check"
EFFECTIVE = "/api/v1/policies/effective"
REASON = "agreed in the review of March"


@pytest.fixture
def reader(tenant_world: World) -> APIClient:
    return api_client(["read"], tenant=tenant_world.tenant)


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    return api_client(["admin"], tenant=tenant_world.tenant)


@pytest.fixture
def owner(tenant_world: World) -> APIClient:
    """A caller who may do everything, everywhere."""
    return api_client(["admin"])


def draft(text: str, layer: str = "tenant", target: str = "acme", **more: Any) -> dict[str, Any]:
    return {"layer": layer, "target": target, "text": text, "reason": REASON, **more}


def post(client: APIClient, body: dict[str, Any], address: str = VERSIONS, **headers: str) -> Any:
    if address == CHECK:
        # What publishes nothing takes no reason for it.
        body = {name: value for name, value in body.items() if name != "reason"}
    return client.post(address, body, format="json", headers=headers)


class TestWhatIsInForce:
    def test_every_value_comes_with_the_layer_that_set_it(
        self, owner: APIClient, reader: APIClient
    ) -> None:
        site = draft(
            "head_drift: {settle_seconds: 30}\nfloors: [head_drift.settle_seconds]", "site", ""
        )
        assert post(owner, site).status_code == 201
        post(owner, draft("head_drift: {settle_seconds: 20}", "workspace", "acme/main"))

        answer = reader.get(f"{EFFECTIVE}/acme/api").json()

        values = {value.pop("key"): value for value in answer["values"]}
        assert values["head_drift.settle_seconds"] == {
            "value": 20,
            "unit": "seconds",
            "set_by": ["workspace acme/main v1"],
            "floor": {"value": 30, "by": "site v1"},
            "overruled": [],
            "capped_by": "",
        }
        assert values["lease.mode"]["set_by"] == []
        assert [layer["name"] for layer in answer["layers"]] == ["site", "workspace acme/main"]

    def test_who_was_overruled_by_a_floor_laid_later_is_told(
        self, owner: APIClient, reader: APIClient
    ) -> None:
        post(owner, draft("lease: {mode: 'off'}", "repository", "acme/main/api"))
        post(owner, draft("lease: {mode: alert}\nfloors: [lease.mode]", "site", ""))

        answer = reader.get(f"{EFFECTIVE}/acme/api").json()

        values = {value["key"]: value for value in answer["values"]}
        assert values["lease.mode"]["value"] == "alert"
        assert values["lease.mode"]["overruled"] == [
            {"layer": "repository acme/main/api v1", "wanted": "off"}
        ]

    def test_a_branch_has_its_own_policy(self, admin: APIClient) -> None:
        pattern = {"branch_pattern": "sandbox/**"}
        post(admin, draft("lease: {mode: 'off'}", "branch", "acme/main/api", **pattern))

        digests = {
            branch: admin.get(f"{EFFECTIVE}/acme/api", {"branch": branch}).json()["digest"]
            for branch in ("", "main", "sandbox/x")
        }

        assert digests[""] == digests["main"] != digests["sandbox/x"]

    @pytest.mark.parametrize("name", ["rival/api", "acme/nothing", "nobody/api"])
    def test_of_others_and_of_nothing_nothing_is_told(self, reader: APIClient, name: str) -> None:
        assert reader.get(f"{EFFECTIVE}/{name}").status_code == 404


class TestPublishing:
    def test_a_version_is_published_told_and_listed(
        self, admin: APIClient, reader: APIClient
    ) -> None:
        answer = post(admin, draft("stale_branch: {idle_days: 30}"))

        assert answer.status_code == 201
        told = answer.json()
        assert told["is_new"] is True
        assert told["plan"]["changes"] == [
            {"key": "stale_branch.idle_days", "before": None, "after": 30}
        ]
        assert told["rollout"] == {"reclassified": 0, "planned": 0, "left": 0}
        listed = reader.get(VERSIONS).json()["results"]
        assert listed == [told["version"]]
        assert listed[0]["author"].startswith("client-")
        detail = reader.get(f"{VERSIONS}/{listed[0]['id']}").json()
        assert detail == {**listed[0], "document": {"stale_branch": {"idle_days": 30}}}

    def test_the_entry_in_the_trail_carries_the_correlation_id_of_the_call(
        self, admin: APIClient
    ) -> None:
        answer = post(admin, draft("{}"), **{"X-Correlation-ID": "call-12345678"})

        assert answer["X-Correlation-ID"] == "call-12345678"
        assert AuditEntry.objects.get().correlation_id == "call-12345678"

    def test_a_document_may_be_sent_as_a_value(self, admin: APIClient) -> None:
        body = draft("") | {"document": {"lease": {"mode": "observe"}}}
        del body["text"]

        assert post(admin, body).status_code == 201
        assert PolicyVersion.objects.get().document == {"lease": {"mode": "observe"}}

    def test_the_same_document_again_is_no_new_version(self, admin: APIClient) -> None:
        post(admin, draft("lease: {mode: observe}"))

        again = post(admin, draft("lease:\n  mode: observe"))

        assert (again.status_code, again.json()["is_new"]) == (200, False)

    def test_what_is_wrong_is_told_with_lines_and_pointers(self, admin: APIClient) -> None:
        answer = post(admin, draft("lease:\n  mood: 1", file="acme.yaml"))

        problem = answer.json()
        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"
        assert (problem["code"], problem["title"]) == ("policy_invalid", "Bad Request")
        assert problem["correlation_id"] == answer["X-Correlation-ID"]
        assert problem["errors"] == [
            {
                "pointer": "/lease/mood",
                "file": "acme.yaml",
                "line": 2,
                "column": 3,
                "code": "unknown_key",
                "detail": "'mood' is no key; did you mean mode?",
                "severity": "error",
            }
        ]

    def test_of_thousands_of_mistakes_a_hundred_are_told(self, admin: APIClient) -> None:
        answer = post(admin, draft("".join(f"key{n}: 1\n" for n in range(3000))))

        assert len(answer.json()["errors"]) == 100
        assert "3000 errors" in answer.json()["detail"]

    def test_below_a_floor_nothing_is_published(self, owner: APIClient, admin: APIClient) -> None:
        post(owner, draft("lease: {mode: alert}\nfloors: [lease.mode]", "site", ""))

        problem = post(admin, draft("lease:\n  mode: observe")).json()

        assert [(one["line"], one["code"]) for one in problem["errors"]] == [(2, "below_floor")]
        assert PolicyVersion.objects.count() == 1

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"reason": "short"}, "/reason"),
            ({"layer": "galaxy"}, "/layer"),
            ({"document": {}}, "/text"),
            ({"expected_version": -1}, "/expected_version"),
        ],
    )
    def test_a_request_that_makes_no_sense_is_told(
        self, admin: APIClient, change: dict[str, Any], pointer: str
    ) -> None:
        answer = post(admin, draft("{}", **change))

        assert answer.status_code == 400
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]

    def test_over_another_version_than_expected_nothing_is_published(
        self, admin: APIClient
    ) -> None:
        post(admin, draft("lease: {mode: observe}", expected_version=0))

        answer = post(admin, draft("lease: {mode: alert}", expected_version=0))

        assert (answer.status_code, answer.json()["code"]) == (409, "policy_changed")


class TestWhoMay:
    def test_publishing_needs_the_scope_admin(self, reader: APIClient) -> None:
        assert post(reader, draft("{}")).status_code == 403

    def test_nobody_publishes_without_a_token(self, tenant_world: World) -> None:
        assert post(APIClient(), draft("{}")).status_code == 401

    @pytest.mark.parametrize(
        ("layer", "target"),
        [
            ("site", ""),
            ("tenant", "rival"),
            ("repository", "rival/main/api"),
            ("tenant", "nobody"),
            ("workspace", "acme/nothing"),
        ],
    )
    @pytest.mark.parametrize("address", [VERSIONS, CHECK])
    def test_an_admin_of_one_tenant_reaches_nothing_else(
        self, admin: APIClient, layer: str, target: str, address: str
    ) -> None:
        assert post(admin, draft("{}", layer, target), address).status_code == 404
        assert not PolicyVersion.objects.exists()

    def test_versions_of_other_tenants_are_not_listed(
        self, owner: APIClient, reader: APIClient
    ) -> None:
        for layer, target in (("site", ""), ("tenant", "acme"), ("tenant", "rival")):
            post(owner, draft("lease: {mode: observe}", layer, target))

        listed = reader.get(VERSIONS).json()["results"]

        assert [(one["layer"], one["target"]) for one in listed] == [
            ("tenant", "acme"),
            ("site", ""),
        ]
        theirs = PolicyVersion.objects.get(target="rival")
        assert reader.get(f"{VERSIONS}/{theirs.pk}").status_code == 404

    def test_the_history_of_one_layer_can_be_asked_for(self, owner: APIClient) -> None:
        for days in (10, 20):
            post(owner, draft(f"stale_branch: {{idle_days: {days}}}"))
        post(owner, draft("{}", "workspace", "acme/main"))

        listed = owner.get(VERSIONS, {"layer": "tenant", "target": "acme"}).json()["results"]

        assert [one["version"] for one in listed] == [2, 1]


class TestTheSecondPerson:
    FLOOR = "lease: {mode: alert}\nfloors: [lease.mode]"

    def test_loosening_a_floor_asks_for_one(self, admin: APIClient) -> None:
        post(admin, draft(self.FLOOR))

        answer = post(admin, draft("{}"))

        assert answer.status_code == 403
        assert answer.json()["code"] == "approval_needed"
        assert [one["detail"] for one in answer.json()["errors"]] == ["lease.mode"]

    def test_the_token_of_another_admin_approves(
        self, admin: APIClient, tenant_world: World
    ) -> None:
        tenant = tenant_world.tenant
        ApiTokenFactory.create(clear="rcl_bob", name="bob", scopes=["admin"], tenant=tenant)
        post(admin, draft(self.FLOOR))

        answer = post(admin, draft("{}"), **{"X-Approval-Token": "rcl_bob"})

        assert answer.status_code == 201
        assert answer.json()["plan"]["loosened_floors"] == ["lease.mode"]
        assert answer.json()["version"]["approved_by"] == "bob"

    def test_publishing_takes_effect_at_once_and_the_answer_says_how_far(
        self, admin: APIClient, tenant_world: World
    ) -> None:
        BranchFactory.create(repository=tenant_world.repository, name="release/1")

        answer = post(admin, draft("branches: {protected: [release/*]}"))

        assert answer.json()["rollout"] == {"reclassified": 1, "planned": 1, "left": 0}
        assert ReconciliationTask.objects.get().origin == "api"

    @pytest.mark.parametrize("scopes", [["read"], ["leases", "runs", "alerts", "tasks"]])
    def test_the_token_of_somebody_who_may_not_publish_does_not_approve(
        self, admin: APIClient, tenant_world: World, scopes: list[str]
    ) -> None:
        tenant = tenant_world.tenant
        ApiTokenFactory.create(clear="rcl_eve", name="eve", scopes=scopes, tenant=tenant)
        post(admin, draft(self.FLOOR))

        answer = post(admin, draft("{}"), **{"X-Approval-Token": "rcl_eve"})

        assert (answer.status_code, answer.json()["code"]) == (403, "not_an_approver")

    def test_ones_own_token_does_not_approve(self, tenant_world: World) -> None:
        tenant = tenant_world.tenant
        ApiTokenFactory.create(clear="rcl_ann", name="ann", scopes=["admin"], tenant=tenant)
        ann = APIClient()
        ann.credentials(HTTP_AUTHORIZATION="Bearer rcl_ann")
        post(ann, draft(self.FLOOR))

        answer = post(ann, draft("{}"), **{"X-Approval-Token": "rcl_ann"})

        assert (answer.status_code, answer.json()["code"]) == (403, "approval_needed")


class TestChecking:
    def test_a_check_tells_the_plan_and_publishes_nothing(
        self, owner: APIClient, reader: APIClient
    ) -> None:
        post(owner, draft("lease: {mode: observe}", "repository", "acme/main/api"))
        text = "lease: {mode: alert}\nbranches: {keep: [nothing]}\nfloors: [lease.mode]"

        answer = post(reader, draft(text), CHECK)

        plan = answer.json()
        assert answer.status_code == 200
        assert plan["current_version"] == 0
        assert plan["overruled_below"] == [
            {
                "layer": "repository acme/main/api",
                "key": "lease.mode",
                "wanted": "observe",
                "in_force": "alert",
            }
        ]
        assert [(one["line"], one["code"]) for one in plan["warnings"]] == [
            (2, "matches_no_branch")
        ]
        assert PolicyVersion.objects.count() == 1

    def test_a_check_tells_what_is_wrong(self, reader: APIClient) -> None:
        answer = post(reader, draft("lease: {mode: loud}"), CHECK)

        assert (answer.status_code, answer.json()["code"]) == (400, "policy_invalid")


def test_the_list_of_versions_costs_the_same_for_two_and_for_forty(
    owner: APIClient, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        TenantFactory.create(slug=f"t{number}")
        post(owner, draft("{}", "tenant", f"t{number}"))

    with django_assert_max_num_queries(3):
        owner.get(VERSIONS, {"page_size": 2})
    with django_assert_max_num_queries(3):
        assert len(owner.get(VERSIONS, {"page_size": 40}).json()["results"]) == 40


def test_the_openapi_schema_describes_the_api() -> None:
    generator = SchemaGenerator(urlconf="tests.functional.policy.urls")  # type: ignore[no-untyped-call]

    schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]

    assert set(schema["paths"]) == {
        "/api/v1/policies/effective/{tenant}/{repo}",
        "/api/v1/policies/versions",
        "/api/v1/policies/versions/{id}",
        "/api/v1/policies/check",
        "/api/v1/policies/simulate",
    }
