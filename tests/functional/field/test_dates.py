"""Commit dates that cannot be true are unknown activity; connecting is all or nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError

from governance.models import Branch, Repository, Tenant
from reconciliation.models import Evaluation, Finding, WebhookSource
from reconciliation.services.observe import configured_remote
from tests.functional.field.shapes import (
    SCRIPTS,
    YEAR_10000,
    Bare,
    connect,
    days_ago,
    reconcile,
    run_script,
)
from tests.git_server import GitServer

pytestmark = pytest.mark.django_db

IMPOSSIBLE = {
    "year-10000": f"{YEAR_10000} +0000",
    "year-2106": "4294967295 +0000",
    "next-week": f"{int((datetime.now(UTC) + timedelta(days=7)).timestamp())} +0000",
    "epoch": "0 +0000",
    "1970": "86400 +0000",
    "negative": "-1 +0000",
    "twenty-digits": "99999999999999999999 +0000",
    "five-thousand-digits": f"{'9' * 5000} +0000",
    "missing": "",
    "broken": "yesterday +0000",
}
POSSIBLE = {
    "1999": f"{int(datetime(1999, 1, 1, tzinfo=UTC).timestamp())} +0000",
    "odd-offset": f"{int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())} +9999",
}


def impossible_dates(server: GitServer) -> Bare:
    bare = Bare(server.root / "dates.git")
    bare.point("main", bare.commit(date=days_ago(0)))
    for name, date in (IMPOSSIBLE | POSSIBLE).items():
        bare.point(name, bare.commit(date=date))
    return bare


def activity() -> dict[str, datetime | None]:
    return dict(Branch.objects.values_list("name", "last_activity_at"))


def test_dates_that_cannot_be_are_unknown_activity(server: GitServer) -> None:
    impossible_dates(server)

    document = connect(server, "dates")

    stored = activity()
    assert document["secret"]
    assert not document["history_problem"]
    assert {name: stored[name] for name in IMPOSSIBLE} == dict.fromkeys(IMPOSSIBLE)
    assert stored["1999"] == datetime(1999, 1, 1, tzinfo=UTC)
    assert stored["odd-offset"] == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_branch_of_unknown_activity_is_neither_idle_nor_active(server: GitServer) -> None:
    impossible_dates(server)
    connect(server, "dates")

    result = reconcile("dates")

    decisions = {
        line["branch"]: line["decision"]
        for line in result["decisions"]
        if line["task_kind"] == "stale_branch"
    }
    assert decisions == dict.fromkeys(IMPOSSIBLE, "exempt") | dict.fromkeys(
        POSSIBLE, "recommend_retirement"
    )
    assert {finding["branch"] for finding in result["findings"]} == set(POSSIBLE)


def test_what_a_later_reading_finds_out_about_activity_is_kept(server: GitServer) -> None:
    impossible_dates(server)
    connect(server, "dates")
    Branch.objects.update(last_activity_at=None)

    reconcile("dates")

    assert activity()["1999"] == datetime(1999, 1, 1, tzinfo=UTC)
    assert activity()["epoch"] is None


@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the scripts are not beside the project")
def test_a_head_of_the_year_10000_is_connected_and_reconciled(server: GitServer) -> None:
    run_script("mkfuture.sh", str(server.root / "future.git"))

    document = connect(server, "future")

    assert (document["heads"], bool(document["secret"])) == (2, True)
    assert activity()["future"] is None
    assert not reconcile("future")["findings"]
    assert [e.decision for e in Evaluation.objects.all() if "unknown" in e.decision]


def test_the_history_read_while_connecting_is_not_fetched_again(server: GitServer) -> None:
    impossible_dates(server)
    connect(server, "dates")
    server.seen.clear()

    reconcile("dates")

    bodies = [seen for seen in server.seen if seen.method == "POST"]
    assert len(bodies) == 1, "one ls-refs, and no fetch"


class Interrupted(BaseException):
    """As a person ends a program."""


def test_connecting_that_is_interrupted_stores_nothing_and_can_be_repeated(
    server: GitServer,
) -> None:
    impossible_dates(server)

    class Broken:
        def write(self, text: str) -> None:
            raise Interrupted

    with pytest.raises(Interrupted):
        connect(server, "dates", stdout=Broken())

    assert not Repository.objects.exists()
    assert not WebhookSource.objects.exists()
    assert not Tenant.objects.exists()
    assert connect(server, "dates")["secret"]


def test_history_that_cannot_be_fetched_leaves_activity_unknown_until_it_can(
    server: GitServer,
) -> None:
    impossible_dates(server)
    server.switches.upload_pack_config = {"uploadpack.allowFilter": "false"}

    connect(server, "dates")
    assert set(activity().values()) == {None}

    server.switches.upload_pack_config = {"uploadpack.allowFilter": "true"}
    configured_remote.cache_clear()
    reconcile("dates")
    assert activity()["1999"] == datetime(1999, 1, 1, tzinfo=UTC)
    assert set(Finding.objects.values_list("branch", flat=True)) == set(POSSIBLE)


def test_a_name_that_is_taken_is_told_before_anything_is_read(server: GitServer) -> None:
    impossible_dates(server)
    connect(server, "dates")
    server.seen.clear()

    with pytest.raises(CommandError, match="webhook_source rotate"):
        connect(server, "dates")

    assert not server.seen
