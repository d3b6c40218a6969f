"""Leases over the API, as holders, gates and admins meet them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from governance.models import Branch, Lease, RunRecord
from tests.conftest import World
from tests.factories.governance import (
    HEAD_A,
    HEAD_B,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
    api_client,
)

pytestmark = pytest.mark.django_db
TOKEN = "a-secret-of-the-holder-of-this-lease-only"
ASKED: dict[str, Any] = {
    "repo": "api",
    "branch": "topic",
    "owner": {"user_id": "alice", "device_id": "laptop", "agent_id": "reach-cli"},
    "lease_id": "lease-1",
    "holder_token": TOKEN,
}


@pytest.fixture
def agent(tenant_world: World) -> APIClient:
    return api_client(["leases", "read"], tenant_world.tenant)


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    return api_client(["admin"], tenant_world.tenant)


def post(client: APIClient, address: str, body: dict[str, Any]) -> Any:
    return client.post(f"/api/v1/leases{address}", body, format="json")


def acquire(client: APIClient, **changes: Any) -> Any:
    return post(client, "", ASKED | changes)


def held(client: APIClient, **changes: Any) -> dict[str, Any]:
    answer = acquire(client, **changes)
    assert answer.status_code == 201, answer.json()
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["correlation_id"] == answer["X-Correlation-ID"]
    return answer.status_code, answer.json()["code"]


def test_a_granted_lease_comes_with_all_that_its_holder_needs(agent: APIClient) -> None:
    lease = held(agent)

    now = timezone.now()
    row = Lease.objects.get()
    assert (lease["tenant"], lease["workspace"], lease["repo"]) == ("acme", "main", "api")
    assert (lease["scope"], lease["branch"], lease["paths"]) == ("branch-level", "topic", [])
    assert lease["owner"] == ASKED["owner"]
    assert (lease["state"], lease["fencing_token"], lease["ttl_seconds"]) == ("held", 1, 900)
    assert row.expires_at - row.acquired_at == timedelta(seconds=900)
    assert abs(now - row.acquired_at) < timedelta(seconds=30)
    assert lease["server_time"] == lease["acquired_at"]
    assert lease["acquired_at"] < lease["renew_after"] < lease["expires_at"]
    assert lease["push_command"] == "git push origin HEAD:refs/heads/topic"
    assert "holder_token" not in lease
    assert "token_digest" not in lease


def test_the_push_command_names_the_head_that_was_last_seen(
    agent: APIClient, tenant_world: World
) -> None:
    assert held(agent, branch="main")["push_command"] == (
        f"git push --force-with-lease=refs/heads/main:{HEAD_A} origin HEAD:refs/heads/main"
    )


def test_a_branch_that_the_remote_did_not_have_must_not_exist_at_the_push(
    agent: APIClient, tenant_world: World
) -> None:
    tenant_world.repository.observed_at = timezone.now()
    tenant_world.repository.save()

    assert "--force-with-lease=refs/heads/topic: " in held(agent)["push_command"]


def test_a_holder_token_that_we_make_is_shown_once_and_works(agent: APIClient) -> None:
    lease = held(agent, lease_id="", holder_token="")

    assert lease["lease_id"].startswith("lse_")
    assert len(lease["holder_token"]) > 40
    heartbeat = post(
        agent,
        f"/{lease['lease_id']}/heartbeat",
        {"repo": "api", "holder_token": lease["holder_token"]},
    )
    assert heartbeat.status_code == 200
    assert "holder_token" not in heartbeat.json()


def test_a_repeated_request_gets_the_same_lease(agent: APIClient) -> None:
    first = held(agent)

    again = acquire(agent)

    assert again.status_code == 200
    assert again.json()["fencing_token"] == first["fencing_token"]
    assert again.json()["expires_at"] == first["expires_at"]
    assert Lease.objects.count() == 1


def test_without_a_token_of_its_own_a_repetition_cannot_prove_itself(agent: APIClient) -> None:
    held(agent, holder_token="")

    assert problem(acquire(agent, holder_token="")) == (409, "lease_id_taken")


def test_a_held_branch_is_refused_with_its_holder_and_when_to_come_back(agent: APIClient) -> None:
    held(agent)

    refused = acquire(agent, lease_id="lease-2", owner={"user_id": "bob"})

    assert problem(refused) == (409, "lease_already_held")
    assert "alice/laptop/reach-cli holds lease lease-1" in refused.json()["detail"]
    assert 890 <= int(refused["Retry-After"]) <= 900


def test_a_place_whose_lease_has_only_just_ended_is_locked_for_a_moment(
    agent: APIClient, tenant_world: World
) -> None:
    acquired_at = timezone.now() - timedelta(seconds=905)
    LeaseFactory.create(
        repository=tenant_world.repository, branch="topic", acquired_at=acquired_at, user_id="bob"
    )

    refused = acquire(agent)

    assert problem(refused) == (409, "lock_delayed")
    assert 1 <= int(refused["Retry-After"]) <= 10


def test_an_expired_lease_blocks_nobody(agent: APIClient, tenant_world: World) -> None:
    acquired_at = timezone.now() - timedelta(hours=3)
    LeaseFactory.create(
        repository=tenant_world.repository, branch="topic", acquired_at=acquired_at, user_id="bob"
    )

    held(agent)

    assert set(Lease.objects.values_list("state", flat=True)) == {"expired", "held"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scope": "everything"}, "/scope"),
        ({"branch": ""}, "/branch"),
        ({"branch": "a..b"}, "/branch"),
        ({"paths": ["src"]}, "/paths"),
        ({"scope": "path-prefix", "paths": []}, "/paths"),
        ({"scope": "path-prefix", "paths": ["../x"]}, "/paths"),
        ({"scope": "repo-wide"}, "/branch"),
        ({"ttl_seconds": 59}, "/ttl_seconds"),
        ({"ttl_seconds": "soon"}, "/ttl_seconds"),
        ({"owner": {}}, "/owner/user_id"),
        ({"owner": None}, "/owner"),
        ({"lease_id": "no good"}, "/lease_id"),
        ({"lease_id": "check"}, "/lease_id"),
        ({"holder_token": "short"}, "/holder_token"),
        ({"repo": ""}, "/repo"),
        ({"branch": "a\u0000b"}, "/branch"),
    ],
)
def test_a_request_that_makes_no_sense_says_what_is_wrong(
    agent: APIClient, change: dict[str, Any], pointer: str
) -> None:
    refused = acquire(agent, **change)

    assert problem(refused) == (400, "invalid")
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert Lease.objects.count() == 0


def test_paths_and_whole_repositories_can_be_leased_too(agent: APIClient) -> None:
    paths = held(agent, scope="path-prefix", paths=["src/b/", "src/a/x", "src/a"])

    assert paths["paths"] == ["src/a", "src/b"]
    refused = acquire(agent, lease_id="lease-2", scope="repo-wide", branch="")
    assert problem(refused) == (409, "lease_already_held")


def test_a_repo_wide_lease_has_no_one_push_command(agent: APIClient) -> None:
    assert held(agent, scope="repo-wide", branch="")["push_command"] == ""


def test_another_tenants_repository_does_not_exist(agent: APIClient, tenant_world: World) -> None:
    RepositoryFactory.create(tenant=tenant_world.stranger, slug="secret")

    for body in ({"repo": "secret"}, {"repo": "api", "tenant": "rival"}, {"repo": "nowhere"}):
        assert problem(acquire(agent, **body)) == (404, "not_found")


def test_another_tenants_lease_does_not_exist(agent: APIClient, tenant_world: World) -> None:
    LeaseFactory.create(
        repository=tenant_world.strange_repository, lease_id="theirs", holder_token=TOKEN
    )
    body = {"repo": "api", "holder_token": TOKEN}

    assert agent.get("/api/v1/leases").json()["results"] == []
    assert problem(agent.get("/api/v1/leases/theirs?repo=api")) == (404, "not_found")
    assert problem(agent.get("/api/v1/leases/theirs?repo=api&tenant=rival")) == (404, "not_found")
    assert problem(post(agent, "/theirs/heartbeat", body)) == (404, "not_found")
    assert problem(post(agent, "/theirs/release", body | {"tenant": "rival"})) == (404, "not_found")
    assert Lease.objects.get().state == "held"


def test_who_sees_several_tenants_says_which_one_is_meant(tenant_world: World) -> None:
    everywhere = api_client(["leases"])

    refused = acquire(everywhere)

    assert problem(refused) == (400, "invalid")
    assert refused.json()["errors"][0]["pointer"] == "/tenant"
    assert held(everywhere, tenant="rival")["tenant"] == "rival"


@pytest.mark.parametrize(
    ("method", "address", "scope"),
    [
        ("get", "", "read"),
        ("get", "/lease-1?repo=api", "read"),
        ("post", "", "leases"),
        ("post", "/check", "leases"),
        ("post", "/lease-1/heartbeat", "leases"),
        ("post", "/lease-1/release", "leases"),
        ("post", "/lease-1/break", "admin"),
    ],
)
def test_every_act_needs_its_own_scope(
    tenant_world: World, method: str, address: str, scope: str
) -> None:
    others = sorted({"read", "leases", "runs", "alerts", "tasks", "audit"} - {scope})
    without, with_it = api_client(others, tenant_world.tenant), api_client([scope])

    refused = getattr(without, method)(f"/api/v1/leases{address}", format="json")
    let_in = getattr(with_it, method)(f"/api/v1/leases{address}", format="json")

    assert problem(refused) == (403, "permission_denied")
    assert let_in.status_code in (200, 400)


def test_without_a_token_nobody_is_let_in(tenant_world: World) -> None:
    answer = APIClient().get("/api/v1/leases")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_heartbeat_extends_a_lease(agent: APIClient) -> None:
    held(agent)
    Lease.objects.update(expires_at=timezone.now() + timedelta(seconds=10))

    answer = post(agent, "/lease-1/heartbeat", {"repo": "api", "holder_token": TOKEN})

    assert answer.status_code == 200
    assert Lease.objects.get().expires_at > timezone.now() + timedelta(seconds=800)
    assert answer.json()["renewals"] == 1


@pytest.mark.parametrize("act", ["heartbeat", "release"])
def test_only_the_holder_keeps_or_gives_back_a_lease(agent: APIClient, act: str) -> None:
    held(agent)

    answer = post(agent, f"/lease-1/{act}", {"repo": "api", "holder_token": TOKEN + "x"})

    assert problem(answer) == (403, "not_the_holder")


def test_a_lease_given_back_is_over_for_good(agent: APIClient) -> None:
    held(agent)
    body = {"repo": "api", "holder_token": TOKEN}

    assert post(agent, "/lease-1/release", body).json()["state"] == "released"
    assert post(agent, "/lease-1/release", body).status_code == 200
    assert problem(post(agent, "/lease-1/heartbeat", body)) == (410, "lease_ended")
    assert problem(acquire(agent)) == (410, "lease_ended")
    assert held(agent, lease_id="lease-2")["fencing_token"] == 2


def test_an_admin_breaks_a_lease_and_its_holder_learns_why(
    agent: APIClient, admin: APIClient, tenant_world: World
) -> None:
    held(agent)
    RunRecordFactory.create(repository=tenant_world.repository, branch="topic", lease_id="lease-1")

    answer = post(admin, "/lease-1/break", {"repo": "api", "reason": "agent runs wild"})

    assert (answer.status_code, answer.json()["state"]) == (200, "broken")
    assert RunRecord.objects.get().status == "abandoned"
    heartbeat = post(agent, "/lease-1/heartbeat", {"repo": "api", "holder_token": TOKEN})
    assert problem(heartbeat) == (410, "lease_ended")
    assert "agent runs wild" in heartbeat.json()["detail"]
    assert problem(acquire(agent, lease_id="lease-2")) == (409, "lock_delayed")


@pytest.mark.parametrize("reason", ["", "too short", "         x"])
def test_breaking_needs_a_reason(agent: APIClient, admin: APIClient, reason: str) -> None:
    held(agent)

    refused = post(admin, "/lease-1/break", {"repo": "api", "reason": reason})

    assert problem(refused) == (400, "invalid")
    assert refused.json()["errors"][0]["pointer"] == "/reason"


def check(client: APIClient, **changes: Any) -> dict[str, Any]:
    body = {"repo": "api", "branch": "main", "fencing_token": 1, "sha": HEAD_A} | changes
    answer = post(client, "/check", body)
    assert answer.status_code == 200, answer.json()
    told: dict[str, Any] = answer.json()
    return told


def test_a_gate_lets_the_holder_through_and_says_how_to_push(agent: APIClient) -> None:
    held(agent, branch="main")

    answer = check(agent, holder_token=TOKEN)

    assert (answer["allowed"], answer["reason"], answer["lease_id"]) == (True, "allowed", "lease-1")
    assert answer["owner"] == ASKED["owner"]
    assert f"--force-with-lease=refs/heads/main:{HEAD_A}" in answer["push_command"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fencing_token": 0}, "stale_fencing_token"),
        ({"fencing_token": 2}, "other_holder"),
        ({"fencing_token": None}, "other_holder"),
        ({"holder_token": TOKEN + "x"}, "other_holder"),
        ({"branch": "elsewhere"}, "no_lease"),
        ({"sha": "0" * 40}, "sha_mismatch"),
    ],
)
def test_a_gate_stops_everybody_else_and_says_why(
    agent: APIClient, change: dict[str, Any], reason: str
) -> None:
    held(agent, branch="main")

    answer = check(agent, **change)

    assert (answer["allowed"], answer["reason"]) == (False, reason)
    assert answer["detail"] != ""
    assert answer["push_command"] == ""


def test_a_gate_stops_a_push_onto_a_head_that_was_left_behind(agent: APIClient) -> None:
    held(agent, branch="main")
    Branch.objects.update(observed_head=HEAD_B, previous_head=HEAD_A)

    assert check(agent, sha=HEAD_A)["reason"] == "sha_mismatch"
    assert check(agent, sha=HEAD_B)["reason"] == "allowed"


def test_a_gate_compares_the_paths_of_a_path_lease(agent: APIClient) -> None:
    held(agent, branch="main", scope="path-prefix", paths=["src/a"])

    assert check(agent, paths=["src/a/x.py"])["allowed"] is True
    assert check(agent, paths=["src/ab"])["reason"] == "path_outside"
    assert check(agent)["reason"] == "paths_unknown"


def test_refusals_are_on_the_record_and_passes_are_not(
    agent: APIClient, tenant_world: World
) -> None:
    held(agent, branch="main")
    auditor = api_client(["audit"], tenant_world.tenant)

    check(agent)
    refused = check(agent, fencing_token=0)

    entries = auditor.get("/api/v1/audit/entries?action=lease.check").json()["results"]
    assert [(one["outcome"], one["repo"], one["branch"]) for one in entries] == [
        ("refused:stale_fencing_token", "api", "main")
    ]
    assert refused["reason"] == "stale_fencing_token"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"branch": "a b"}, "/branch"),
        ({"sha": "abc"}, "/sha"),
        ({"fencing_token": -1}, "/fencing_token"),
        ({"paths": "src"}, "/paths"),
    ],
)
def test_a_question_that_makes_no_sense_is_not_an_answer(
    agent: APIClient, change: dict[str, Any], pointer: str
) -> None:
    body = {"repo": "api", "branch": "main"} | change

    refused = post(agent, "/check", body)

    assert problem(refused) == (400, "invalid")
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)


def test_leases_are_listed_newest_first_in_pages_and_narrowed_by_filters(
    agent: APIClient, tenant_world: World
) -> None:
    for number in range(5):
        LeaseFactory.create(
            repository=tenant_world.repository,
            lease_id=f"lease-{number}",
            branch=f"topic-{number}",
            state="held" if number else "released",
        )

    def ids(query: str) -> list[str]:
        return [one["lease_id"] for one in agent.get(f"/api/v1/leases{query}").json()["results"]]

    page = agent.get("/api/v1/leases?page_size=2").json()
    rest = agent.get(page["next"]).json()
    assert [one["lease_id"] for one in page["results"]] == ["lease-4", "lease-3"]
    assert [one["lease_id"] for one in rest["results"]] == ["lease-2", "lease-1"]
    assert ids("?branch=topic-2") == ["lease-2"]
    assert ids("?state=released") == ["lease-0"]
    assert ids("?repo=other") == []
    assert ids("?tenant=acme&workspace=main&repo=api&scope=branch-level&user_id=alice") == [
        f"lease-{number}" for number in (4, 3, 2, 1, 0)
    ]
    assert problem(agent.get("/api/v1/leases?state=gone")) == (400, "invalid")


def test_a_list_takes_the_same_number_of_statements_whatever_its_length(
    agent: APIClient, tenant_world: World, django_assert_max_num_queries: Any
) -> None:
    LeaseFactory.create_batch(30, repository=tenant_world.repository)

    # The token, the note that it was used (once a minute, in a savepoint), the page.
    with django_assert_max_num_queries(5):
        assert len(agent.get("/api/v1/leases").json()["results"]) == 30
    with django_assert_max_num_queries(2):
        agent.get("/api/v1/leases")


def test_one_lease_can_be_looked_at_while_held_and_after(agent: APIClient) -> None:
    held(agent)

    def look() -> dict[str, Any]:
        seen: dict[str, Any] = agent.get("/api/v1/leases/lease-1?repo=api").json()
        return seen

    assert (look()["state"], look()["renew_after"] < look()["expires_at"]) == ("held", True)
    post(agent, "/lease-1/release", {"repo": "api", "holder_token": TOKEN})
    assert (look()["state"], look()["end_reason"]) == ("released", "released by its holder")


@pytest.mark.parametrize("address", ["/a%00b", "/a%20b", "/-a", "/check", "/x/", "/lease-1/steal"])
def test_an_address_that_cannot_be_a_leases_is_answered_in_our_form(
    agent: APIClient, address: str
) -> None:
    answer = agent.get(f"/api/v1/leases{address}?repo=api")

    assert problem(answer)[0] in (400, 404, 405)


@pytest.mark.parametrize("query", ["?repo=%00", "?repo=", "", "?repo=api&tenant=%00"])
def test_a_repository_that_cannot_be_is_refused_in_our_form(agent: APIClient, query: str) -> None:
    assert problem(agent.get(f"/api/v1/leases/lease-1{query}"))[0] == 400
