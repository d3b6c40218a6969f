"""Which repository a delivery is about: the source's own, or the one that the host's id names."""

import pytest
from django.utils import timezone

from audit.domain.entries import RECONCILER
from governance.models import Repository
from reconciliation.models import (
    ReconciliationTask,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSource,
)
from reconciliation.services.intake_work import forget_cached_repositories
from reconciliation.services.sources import create_source, forget_cached_sources
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, RepositoryFactory, api_client
from tests.factories.webhooks import SECRET, github_headers
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation(tenant_world: World) -> WebhookSource:
    """Return a source of the whole tenant; the host's id of its repository is not known yet."""
    forget_cached_sources()
    forget_cached_repositories()
    Repository.objects.update(host_repository_id="")
    return create_source(
        tenant_id=tenant_world.tenant.pk,
        tenant="acme",
        repository_id=None,
        host_kind="github",
        name="all of acme",
        token="t" * 43,
        secret=SECRET,
        actor=RECONCILER,
        correlation_id="test-correlation-id",
        now=timezone.now(),
    )


def test_an_organisations_delivery_finds_its_repository_by_the_hosts_id(
    organisation: WebhookSource, tenant_world: World
) -> None:
    Repository.objects.filter(pk=tenant_world.repository.pk).update(
        host_repository_id="7", host_kind="github", clone_url="https://elsewhere.example/x.git"
    )

    answer = push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()

    assert answer["outcome"] == "accepted"
    assert ReconciliationTask.objects.get().repository_id == tenant_world.repository.pk


def test_one_never_heard_of_is_found_by_its_address(
    organisation: WebhookSource, tenant_world: World
) -> None:
    answer = push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()

    assert answer["outcome"] == "accepted"
    assert ReconciliationTask.objects.get().repository_id == tenant_world.repository.pk


def test_an_address_counts_no_more_once_the_id_is_known(
    organisation: WebhookSource, tenant_world: World
) -> None:
    Repository.objects.filter(pk=tenant_world.repository.pk).update(host_repository_id="8")

    answer = push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()

    assert answer["outcome"] == "ignored"
    assert answer["reason"] == "no governed repository has this host id"


def test_two_repositories_at_one_address_are_not_guessed_between(
    organisation: WebhookSource, tenant_world: World
) -> None:
    address = tenant_world.repository.clone_url.removesuffix(".git") + "/"
    RepositoryFactory.create(tenant=tenant_world.tenant, host_repository_id="", clone_url=address)

    assert push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()["outcome"] == "ignored"


def test_another_tenants_repository_is_never_found(
    organisation: WebhookSource, tenant_world: World
) -> None:
    Repository.objects.filter(pk=tenant_world.repository.pk).delete()
    Repository.objects.filter(pk=tenant_world.strange_repository.pk).update(
        host_repository_id="7",
        host_kind="github",
        clone_url="https://git.example/acme/api.git",
    )

    assert push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()["outcome"] == "ignored"


def test_two_tenants_may_govern_one_repository_of_a_host_and_each_hears_its_own_hook(
    organisation: WebhookSource, tenant_world: World
) -> None:
    Repository.objects.update(host_repository_id="7", host_kind="github")
    theirs = create_source(
        tenant_id=tenant_world.stranger.pk,
        tenant="rival",
        repository_id=None,
        host_kind="github",
        name="all of rival",
        token="r" * 43,
        secret=SECRET,
        actor=RECONCILER,
        correlation_id="test-correlation-id",
        now=timezone.now(),
    )

    tasks = [
        push(one, HEAD_A, HEAD_B, delivery="the same").json()["task"]
        for one in (organisation, theirs)
    ]

    planned = ReconciliationTask.objects.in_bulk(tasks)
    assert [planned[task].repository_id for task in tasks] == [
        tenant_world.repository.pk,
        tenant_world.strange_repository.pk,
    ]
    assert [planned[task].tenant for task in tasks] == ["acme", "rival"]


def test_the_list_of_a_repositorys_deliveries_holds_those_that_asked_for_no_work(
    source: WebhookSource, tenant_world: World
) -> None:
    body = b'{"action": "opened"}'
    post(source, body, github_headers(body, event="issues", delivery="talk"))
    push(source, HEAD_A, HEAD_B, delivery="push")

    def listed(repo: str) -> list[str]:
        answer = api_client().get("/api/v1/deliveries", {"repo": repo}).json()
        return [row["delivery_id"] for row in answer["results"]]

    assert listed("api") == ["push", "talk"]
    assert listed("web") == []


def test_a_repository_connected_after_its_delivery_is_worked_when_that_comes_again(
    organisation: WebhookSource, tenant_world: World
) -> None:
    Repository.objects.filter(pk=tenant_world.repository.pk).update(clone_url="https://a.example/b")
    push(organisation, HEAD_A, HEAD_B, delivery="d-1")
    Repository.objects.filter(pk=tenant_world.repository.pk).update(
        clone_url="https://git.example/acme/api.git"
    )

    again = push(organisation, HEAD_A, HEAD_B, delivery="d-1").json()

    assert again["outcome"] == WebhookDelivery.objects.get().outcome == "accepted"


def test_a_hook_of_another_repository_is_a_hint_that_is_counted(source: WebhookSource) -> None:
    Repository.objects.filter(webhook_sources=source).update(
        host_repository_id="7", host_kind="github"
    )
    forget_cached_sources()

    other = push(source, HEAD_A, HEAD_B, delivery="d-1", repository_id=8).json()
    own = push(source, HEAD_A, HEAD_B, delivery="d-2", repository_id=7).json()

    assert other["outcome"] == own["outcome"] == "accepted"
    assert other["reason"].startswith("it is about another repository of its host")
    assert own["reason"] == "ok"
    refusal = WebhookRefusal.objects.get()
    assert (refusal.reason, refusal.count) == ("another_repository", 1)


def test_ids_of_two_kinds_of_hosts_say_nothing_about_each_other(source: WebhookSource) -> None:
    Repository.objects.filter(webhook_sources=source).update(
        host_repository_id="7", host_kind="gitlab"
    )
    forget_cached_sources()

    told = push(source, HEAD_A, HEAD_B, delivery="d-1", repository_id=8).json()

    assert (told["outcome"], told["reason"]) == ("accepted", "ok")
    assert not WebhookRefusal.objects.exists()
