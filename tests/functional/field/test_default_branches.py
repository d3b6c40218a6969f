"""A default branch that is renamed keeps its protection until a person accepts the change."""

from typing import Any

import pytest
from django.test import Client

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.models import AuditEntry
from governance.models import Branch, Repository
from reconciliation.models import Alert, Finding
from reconciliation.services.default_branches import (
    DefaultBranchMoved,
    NotAllowed,
    NothingToAccept,
    ReasonTooShort,
    accept_default_branch,
)
from reconciliation.services.snapshots import accept_head
from tests.factories.governance import CORRELATION_ID, NOON
from tests.functional.field.shapes import (
    SCRIPTS,
    Bare,
    connect,
    days_ago,
    reconcile,
    run_script,
)
from tests.git_server import GitServer

pytestmark = pytest.mark.django_db

ADMIN = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))
READER = Caller(Actor(ActorKind.USER, "bob"), None, frozenset({"read"}))
REASON = "trunk is the name we agreed on"


@pytest.fixture
def bare(server: GitServer) -> Bare:
    made = Bare(server.root / "app.git")
    first = made.commit(date=days_ago(3))
    made.point("main", made.commit(first, date=days_ago(2)))
    made.point("topic", first)
    connect(server, "app")
    return made


def open_findings() -> dict[tuple[str, str], str]:
    rows = Finding.objects.filter(state="open").values_list("branch", "stable_class", "severity")
    return {(branch, kind): severity for branch, kind, severity in rows}


def classes() -> dict[str, str]:
    return dict(Branch.objects.values_list("name", "branch_class"))


def accept(**changes: Any) -> None:
    repository = Repository.objects.get()
    accept_default_branch(
        repository.pk,
        **{
            "expected": "trunk",
            "caller": ADMIN,
            "reason": REASON,
            "correlation_id": CORRELATION_ID,
            "now": NOON,
            **changes,
        },
    )


def rename(bare: Bare, new: str = "trunk") -> None:
    bare.point(new, bare.head("main"))
    bare.make_default(new)


CHANGED = ("", "default_branch_changed")


def test_head_that_moves_is_a_finding_and_takes_no_protection_away(bare: Bare) -> None:
    rename(bare)

    reconcile("app")

    assert open_findings()[CHANGED] == "high"
    assert Alert.objects.get(branch="").state == "open"
    assert (classes()["main"], classes()["trunk"]) == ("default", "default")


def test_a_renamed_default_branch_that_is_deleted_is_critical(bare: Bare) -> None:
    rename(bare)
    bare.delete("main")

    reconcile("app")
    reconcile("app")

    assert open_findings()["main", "deleted"] == "critical"
    assert Alert.objects.filter(branch="main", state="open").exists()


@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the scripts are not beside the project")
def test_the_rename_met_in_the_field_is_critical(server: GitServer) -> None:
    folder = str(server.root / "renamed.git")
    run_script("mkrename.sh", folder, "step1")
    connect(server, "renamed")
    run_script("mkrename.sh", folder, "step2")

    reconcile("renamed")
    reconcile("renamed")

    assert open_findings()["main", "deleted"] == "critical"
    assert open_findings()[CHANGED] == "high"
    assert Alert.objects.filter(branch="main", state="open").exists()


def test_a_rewrite_between_two_renames_is_critical_all_the_way(bare: Bare) -> None:
    rename(bare)
    reconcile("app")
    bare.point("main", bare.commit(bare.head("topic"), date=days_ago(0), text="other"))
    reconcile("app")
    assert open_findings()["main", "rewritten"] == "critical"

    bare.make_default("main")
    reconcile("app")

    assert open_findings()["main", "rewritten"] == "critical"
    assert CHANGED not in open_findings(), "HEAD names the accepted branch again"


def test_all_of_it_between_two_readings_is_critical_too(bare: Bare) -> None:
    rename(bare)
    bare.point("main", bare.commit(bare.head("topic"), date=days_ago(0), text="other"))

    reconcile("app")

    assert open_findings()["main", "rewritten"] == "critical"
    assert open_findings()[CHANGED] == "high"


def test_accepting_the_change_resolves_it_and_gives_the_classes_that_hold_now(bare: Bare) -> None:
    rename(bare)
    reconcile("app")

    accept()

    assert CHANGED not in open_findings()
    assert (classes()["main"], classes()["trunk"]) == ("other", "default")
    entry = AuditEntry.objects.get(action="default_branch.accept")
    assert REASON in entry.body
    assert '"data":{"from":"main","to":"trunk"}' in entry.body
    assert Alert.objects.get(branch="").state == "resolved"


def test_a_deletion_stays_critical_until_it_is_accepted_itself(bare: Bare) -> None:
    rename(bare)
    bare.delete("main")
    reconcile("app")

    accept()
    reconcile("app")
    assert open_findings()["main", "deleted"] == "critical"

    accept_head(
        Repository.objects.get().pk,
        "main",
        expected_head="",
        caller=ADMIN,
        reason=REASON,
        correlation_id=CORRELATION_ID,
        now=NOON,
    )
    assert classes()["main"] == "other"


def test_an_acknowledgement_of_one_default_branch_holds_for_no_other(bare: Bare) -> None:
    rename(bare)
    reconcile("app")
    alert = Alert.objects.get(branch="")
    Alert.objects.update(state="acknowledged", acknowledged_state_digest=alert.state_digest)

    bare.make_default("topic")
    reconcile("app")

    alert.refresh_from_db()
    assert alert.state == "open"
    assert Finding.objects.get(branch="").actual == {"default_branch": "topic"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"expected": "main"}, DefaultBranchMoved),
        ({"reason": "too short"}, ReasonTooShort),
        ({"caller": READER}, NotAllowed),
    ],
)
def test_what_is_not_allowed_or_not_what_was_seen_changes_nothing(
    bare: Bare, changes: dict[str, Any], error: type[Exception]
) -> None:
    rename(bare)
    reconcile("app")

    with pytest.raises(error):
        accept(**changes)

    assert Repository.objects.get().governed_default_branch == "main"
    assert CHANGED in open_findings()


def test_nothing_is_accepted_twice(bare: Bare) -> None:
    with pytest.raises(NothingToAccept):
        accept(expected="main")


def test_the_first_default_branch_that_is_known_needs_nobody(server: GitServer) -> None:
    made = Bare(server.root / "empty.git")
    connect(server, "empty")
    made.point("trunk", made.commit(date=days_ago(1)))
    made.make_default("trunk")

    reconcile("empty")

    assert Repository.objects.get().governed_default_branch == "trunk"
    assert CHANGED not in open_findings()


def test_a_main_branch_that_is_born_later_is_protected_from_then_on(server: GitServer) -> None:
    made = Bare(server.root / "empty.git")
    connect(server, "empty")
    made.point("main", made.commit(date=days_ago(1)))

    reconcile("empty")

    assert classes() == {"main": "default"}


def test_a_person_accepts_on_the_page(bare: Bare, admin_client: Client) -> None:
    rename(bare)
    reconcile("app")
    page = admin_client.get("/repositories/acme/app").content.decode()
    assert "The default branch changed" in page

    refused: Any = admin_client.post(
        "/repositories/acme/app/accept-default-branch",
        {"expected_default": "main", "reason": REASON, "confirmed": "on"},
    )
    assert refused.status_code == 400
    assert "look again" in refused.content.decode()
    admin_client.post(
        "/repositories/acme/app/accept-default-branch",
        {"expected_default": "trunk", "reason": REASON, "confirmed": "on"},
    )

    assert Repository.objects.get().governed_default_branch == "trunk"
    page = admin_client.get("/repositories/acme/app").content.decode()
    assert "The default branch changed" not in page
