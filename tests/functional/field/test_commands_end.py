"""Once a change was accepted, or is over, no command is shown that would undo it."""

import pytest
from django.test import Client

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from governance.models import Repository
from reconciliation.models import Finding
from reconciliation.services.snapshots import accept_head
from tests.factories.governance import CORRELATION_ID, NOON
from tests.functional.field.shapes import Bare, connect, days_ago, reconcile
from tests.git_server import GitServer

pytestmark = pytest.mark.django_db

ADMIN = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


@pytest.fixture
def rewritten(server: GitServer) -> Bare:
    """Return a repository whose main was rewritten, found to be so."""
    bare = Bare(server.root / "app.git")
    first = bare.commit(date=days_ago(3))
    bare.point("main", bare.commit(first, date=days_ago(2)))
    connect(server, "app")
    bare.point("main", bare.commit(first, date=days_ago(1), text="other"))
    reconcile("app")
    assert "--force-with-lease" in finding().command
    return bare


def finding() -> Finding:
    return Finding.objects.get(branch="main", check_kind="head_drift")


def accept(bare: Bare) -> None:
    accept_head(
        Repository.objects.get().pk,
        "main",
        expected_head=bare.head("main"),
        caller=ADMIN,
        reason="we agreed to squash this",
        correlation_id=CORRELATION_ID,
        now=NOON,
    )


def test_accepting_a_rewrite_takes_the_command_away_at_once(
    rewritten: Bare, admin_client: Client
) -> None:
    accept(rewritten)

    assert finding().state == "open", "the checks that resolve it come after"
    assert finding().command == ""
    assert "ada accepted this" in finding().recommendation
    for address in ("/repositories/acme/app/branches/main", f"/alerts/{finding().alert.pk}"):
        assert "force-with-lease" not in admin_client.get(address).content.decode()


def test_a_resolved_finding_shows_no_command(rewritten: Bare, admin_client: Client) -> None:
    accept(rewritten)
    for _ in range(3):
        reconcile("app")

    assert (finding().state, finding().command) == ("resolved", "")
    assert finding().recommendation.startswith("Nothing to do")
    address = f"/alerts/{finding().alert.pk}"
    assert "force-with-lease" not in admin_client.get(address).content.decode()


def test_a_finding_that_comes_back_shows_its_command_again(rewritten: Bare) -> None:
    accept(rewritten)
    for _ in range(3):
        reconcile("app")
    root = rewritten.commit(date=days_ago(0), text="third")
    rewritten.point("main", root)

    reconcile("app")

    found = Finding.objects.get(branch="main", check_kind="head_drift", state="open")
    assert "--force-with-lease" in found.command
