"""What selectors say before anything was connected."""

from datetime import UTC, datetime

import pytest

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from governance.selectors.visible import NotVisible
from reconciliation.selectors.alerts import AlertFilter, alert_list, alert_page
from reconciliation.selectors.branches import branch_list, branch_page
from reconciliation.selectors.dead_letters import dead_letter_causes
from reconciliation.selectors.overview import overview
from reconciliation.selectors.tasks import TaskFilter, task_list, task_page
from reconciliation.selectors.trace import trace_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYBODY = Caller(Actor(ActorKind.USER, "root"), None, frozenset({"admin"}))
NOBODY = Caller(Actor(ActorKind.USER, "guest"), frozenset(), frozenset())

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("caller", [EVERYBODY, NOBODY], ids=["superuser", "no membership"])
def test_an_empty_world_has_an_overview_that_says_nothing_is_running(caller: Caller) -> None:
    seen = overview(caller, now=NOON)

    assert (seen.repositories, seen.branches, seen.dead_letters) == (0, 0, 0)
    assert seen.status == "degraded"
    assert [reason.code for reason in seen.degraded_reasons] == ["worker_silent", "tick_silent"]
    assert seen.webhooks.percent_missed is None


@pytest.mark.parametrize("caller", [EVERYBODY, NOBODY], ids=["superuser", "no membership"])
def test_lists_of_an_empty_world_are_empty(caller: Caller) -> None:
    assert alert_list(caller, chosen=AlertFilter()).lines == ()
    assert alert_list(caller, chosen=AlertFilter(state="all")).lines == ()
    assert branch_list(caller).lines == ()
    assert task_list(caller, chosen=TaskFilter()).lines == ()
    assert dead_letter_causes(caller) == ()


def test_what_is_not_there_is_not_visible() -> None:
    with pytest.raises(NotVisible):
        trace_of("no-such-trace", EVERYBODY)
    with pytest.raises(NotVisible):
        alert_page(1, EVERYBODY, now=NOON)
    with pytest.raises(NotVisible):
        task_page(1, EVERYBODY)
    with pytest.raises(NotVisible):
        branch_page(EVERYBODY, tenant="acme", repo="api", branch="main", now=NOON)
