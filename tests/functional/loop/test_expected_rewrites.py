"""A planned force-push, end to end: noted and never alerted, until a person accepts its head."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from audit.services import verify
from reconciliation.models import Alert, Finding, ReconciliationTask, TaskKind
from reconciliation.services.snapshots import accept_head
from tests.factories.governance import CORRELATION_ID, HEAD_A, HEAD_C
from tests.functional.loop.test_the_loop import ADMIN, Loop, loop
from tests.integration.policy.acts import publish

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def plan(*, actor: str = "alice", starts: timedelta = -HOUR, ends: timedelta = HOUR) -> str:
    """Return a policy that plans a rewrite of main around now."""
    now = datetime.now(UTC)
    return (
        "head_drift:\n  expected_rewrites:\n"
        f"  - {{branch: main, actor: '{actor}', starts_at: '{(now + starts).isoformat()}',"
        f" ends_at: '{(now + ends).isoformat()}'}}\n"
    )


def publish_for_main(text: str) -> None:
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC))


def rewrite(loop: Loop, *, pusher: str = "alice") -> None:
    """Replace the history of main, announced by its webhook, and work off what follows."""
    loop.move("main", HEAD_C)
    loop.announce("main", HEAD_A, HEAD_C, pusher=pusher)
    loop.drain()


def decisions() -> list[str]:
    rows = ReconciliationTask.objects.filter(task_kind=TaskKind.HEAD_DRIFT).order_by("pk")
    return [row.policy_decision for row in rows]


def pages(*addresses: str) -> str:
    user = get_user_model().objects.create_superuser("root")
    client = Client()
    client.force_login(user)
    answers = [client.get(address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200] * len(addresses)
    return "".join(answer.content.decode() for answer in answers)


def test_inside_its_window_by_its_actor_it_is_expected_noted_and_nobody_is_woken(
    loop: Loop,
) -> None:
    publish_for_main(plan())

    rewrite(loop)

    finding = Finding.objects.get()
    assert decisions() == ["expected"]
    assert (finding.stable_class, finding.severity, finding.alerting, finding.state) == (
        "unrelated",
        "info",
        False,
        "open",
    )
    assert [hit["rule"] for hit in finding.rule_hits] == ["drift.expected_rewrite"]
    assert finding.rule_hits[0]["inputs"]["planned_for"] == "alice"
    assert not Alert.objects.exists()
    # A plan names no commit: which head governance accepts stays for a person to say.
    assert loop.branch().governed_head == HEAD_A


def test_the_pages_say_that_it_was_planned_and_what_to_do(loop: Loop) -> None:
    publish_for_main(plan())
    rewrite(loop)

    seen = pages("/repositories/acme/api/branches/main", "/findings")

    assert seen.count("As planned: main was replaced") == 2
    assert "The policy had planned a rewrite of this branch at this time" in seen
    assert "planned for: alice" in seen
    assert "look at the new head and accept it" in seen
    assert "--force-with-lease" not in seen


@pytest.mark.parametrize(
    ("window", "pusher"),
    [
        ({}, "mallory"),
        ({}, ""),
        ({"starts": -3 * HOUR, "ends": -2 * HOUR}, "alice"),
        ({"starts": HOUR, "ends": 2 * HOUR}, "alice"),
    ],
    ids=["by somebody else", "by nobody knows whom", "too late", "too early"],
)
def test_outside_of_the_plan_it_is_what_it_looks_like(
    loop: Loop, window: dict[str, Any], pusher: str
) -> None:
    publish_for_main(plan(**window))

    rewrite(loop, pusher=pusher)

    assert decisions() == ["drift"]
    assert Alert.objects.get().severity == "critical"


def test_a_plan_for_anybody_needs_no_name(loop: Loop) -> None:
    publish_for_main(plan(actor="*"))

    rewrite(loop, pusher="")

    assert decisions() == ["expected"]
    assert not Alert.objects.exists()


@pytest.mark.parametrize(
    "more",
    ["alerts: {from_severity: info}\n", "rules: {drift.expected_rewrite: {weight: 95}}\n"],
)
def test_no_policy_makes_an_alert_of_what_it_planned(loop: Loop, more: str) -> None:
    publish_for_main(plan() + more)

    rewrite(loop)

    assert decisions() == ["expected"]
    assert not Alert.objects.exists()


def test_accepting_its_head_resolves_it_after_two_clean_checks(loop: Loop) -> None:
    publish_for_main(plan())
    rewrite(loop)

    accept_head(
        loop.repository.pk,
        "main",
        expected_head=HEAD_C,
        caller=ADMIN,
        reason="Looked at it: this is what we planned.",
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    loop.drain()
    loop.drain()

    assert Finding.objects.get().state == "resolved"
    assert loop.branch().governed_head == HEAD_C
    assert verify("acme") is None


def test_putting_the_old_head_back_resolves_it_too(loop: Loop) -> None:
    publish_for_main(plan())
    rewrite(loop)

    loop.move("main", HEAD_A)
    loop.announce("main", HEAD_C, HEAD_A)
    loop.drain()
    loop.drain()

    assert Finding.objects.get().state == "resolved"
    assert not Alert.objects.exists()


def test_after_its_window_it_is_still_expected_because_it_happened_inside(loop: Loop) -> None:
    publish_for_main(plan())
    rewrite(loop)
    loop.now += 5 * HOUR
    Finding.objects.update(severity="low")

    publish_for_main(plan() + "stale_branch: {idle_days: 59}\n")
    loop.drain()

    assert decisions() == ["expected", "expected"]
    assert Finding.objects.get().severity == "info"


def test_taking_the_plan_away_before_its_head_was_accepted_raises_the_alert(loop: Loop) -> None:
    publish_for_main(plan())
    rewrite(loop)

    publish_for_main("{}")
    loop.drain()

    assert decisions() == ["expected", "drift"]
    alert = Alert.objects.get()
    assert (alert.severity, alert.finding.stable_class) == ("critical", "unrelated")
