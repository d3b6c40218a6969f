"""What pages tell: traces, degraded sources, unknown states, empty worlds, filters."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from reconciliation.models import Alert, Finding, Heartbeat
from reconciliation.selectors.overview import overview
from reconciliation.selectors.trace import trace_of
from tests.factories.story import Story, correlation
from tests.functional.pages.conftest import AsPerson

EVERYBODY = Caller(Actor(ActorKind.USER, "root"), None, frozenset({"admin"}))


@pytest.fixture
def root(as_person: AsPerson) -> Client:
    return as_person("root")


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def test_a_trace_goes_from_the_delivery_to_the_audit_entries_in_order(story: Story) -> None:
    trace = trace_of(story.trace, EVERYBODY)

    kinds = [step.kind for step in trace.steps]
    assert kinds[0] == "delivery"
    assert kinds[-1] == "audit"
    assert set(kinds) == {
        "delivery",
        "task",
        "attempt",
        "evaluation",
        "finding",
        "alert",
        "audit",
    }
    assert [step.at for step in trace.steps] == sorted(step.at for step in trace.steps)
    outcomes = [step.outcome for step in trace.steps if step.kind == "attempt"]
    assert outcomes[:2] == ["retry", "completed"]


def test_a_delivery_that_joined_a_task_links_both_traces(story: Story) -> None:
    joined = correlation("joined", "acme/billing-api")

    there = [step.joined for step in trace_of(story.trace, EVERYBODY).steps if step.joined]
    here = [step.joined for step in trace_of(joined, EVERYBODY).steps if step.joined]

    assert there == [joined]
    assert here == [story.trace]


def test_the_overview_counts_what_is_broken(story: Story) -> None:
    seen = overview(EVERYBODY, now=story.now)

    assert (seen.alerts.unresolved, seen.alerts.unacknowledged) == (7, 5)
    assert dict(seen.alerts.by_severity) == {
        "critical": 4,
        "high": 3,
        "medium": 0,
        "low": 0,
        "info": 0,
    }
    assert list(seen.drift_by_class) == [
        "unrelated",
        "rewritten",
        "rewound",
        "deleted",
        "recreated",
        "unknown",
        "fast_forward",
        "created",
    ]
    assert (seen.waiting, seen.running, seen.dead_letters) == (14, 3, 7)
    assert (seen.leases_expiring, seen.leases_live) == (2, 2)
    assert (seen.branches, seen.branches_with_findings, seen.branches_unknown) == (209, 14, 11)
    assert seen.branches_without_findings == 184


def test_the_overview_names_the_source_that_fails(story: Story) -> None:
    reasons = {one.code: one for one in overview(EVERYBODY, now=story.now).degraded_reasons}

    assert sorted(reasons) == ["dead_letters", "repositories_unreadable"]
    assert reasons["repositories_unreadable"].source == "cinder/asset-pipeline"


@pytest.mark.parametrize(
    ("name", "silence", "code"),
    [
        ("worker", timedelta(days=1), None),
        ("tick", timedelta(minutes=3), None),
        ("tick", timedelta(minutes=3, seconds=1), "tick_silent"),
    ],
)
def test_silent_machinery_is_named_when_its_time_is_up(
    story: Story, name: str, silence: timedelta, code: str | None
) -> None:
    Heartbeat.objects.filter(name=name).update(at=story.now - silence)

    found = {one.code for one in overview(EVERYBODY, now=story.now).degraded_reasons}

    # The tick runs in a worker: while it is heard, an idle worker counts as alive.
    assert found & {"worker_silent", "tick_silent"} == ({code} if code else set())


@pytest.mark.parametrize(
    ("silence", "is_silent"),
    [(timedelta(minutes=3), False), (timedelta(minutes=3, seconds=1), True)],
)
def test_a_worker_is_silent_when_neither_it_nor_the_tick_is_heard(
    story: Story, silence: timedelta, is_silent: bool
) -> None:
    Heartbeat.objects.update(at=story.now - silence)

    found = {one.code for one in overview(EVERYBODY, now=story.now).degraded_reasons}

    assert ("worker_silent" in found) is is_silent


def test_what_cannot_be_read_is_shown_as_unknown_and_not_as_in_sync(root: Client) -> None:
    page = text_of(root, "/repositories/cinder/asset-pipeline")

    assert "cannot be read" in page.lower()
    assert "remote_auth_failed" in page
    assert 'class="chip drift in_sync"' not in page


def test_every_age_carries_its_instant_in_utc(root: Client, story: Story) -> None:
    page = text_of(root, f"/alerts/{story.alerts['open'].pk}")

    assert page.count("<time ") == page.count(' UTC" data-age')
    assert page.count("<time ") > 5


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("state=acknowledged", "release/2026.03", "borealis"),
        ("severity=high", "acme/ledger", "borealis/records"),
        ("tenant=borealis", "borealis/records", "acme/ledger"),
        ("check=missing_run", "Pull request #418", "borealis/records"),
        ("state=resolved", "resolved", "borealis/records"),
        ("tenant=acme&repo=ledger", "acme/ledger", "acme/billing-api"),
    ],
)
def test_alert_filters_are_in_the_address(
    root: Client, query: str, shown: str, hidden: str
) -> None:
    response = root.get(f"/alerts?{query}")
    lines = [
        f"{alert.repository.tenant.slug}/{alert.repository.slug} {alert.branch}"
        f" {alert.finding.summary} {alert.state}"
        for alert in response.context["page"].lines
    ]

    assert any(shown in line for line in lines)
    assert not any(hidden in line for line in lines)


def test_alerts_are_listed_worst_first_page_by_page(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciliation.selectors.alerts.PAGE_SIZE", 2)
    everything, after = [], ""

    for _ in range(10):
        page = root.get("/alerts", {"after": after}).context["page"]
        everything += [(alert.severity, alert.opened_at, alert.pk) for alert in page.lines]
        after = page.after
        if not after:
            break

    ranks = {"critical": 0, "high": 1}
    assert len(everything) == len({pk for _, _, pk in everything}) == 7
    assert everything == sorted(
        everything, key=lambda one: (ranks[one[0]], -one[1].timestamp(), -one[2])
    )


@pytest.mark.parametrize("address", ["/alerts", "/findings", "/repositories"])
def test_a_filter_that_nothing_fits_offers_the_way_back(root: Client, address: str) -> None:
    page = text_of(root, f"{address}?tenant=nobody")

    assert "fits" in page
    assert f'href="{address}"' in page


def test_an_empty_world_says_how_to_connect_a_repository(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    for address in ("/", "/repositories"):
        page = text_of(client, address)
        assert "connect_repository" in page
        assert "test delivery" in page


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("#1", "/alerts/1"),
        ("acme/ledger@main", "/repositories/acme/ledger/branches/main"),
        ("ledger", "/repositories?q=ledger"),
    ],
)
def test_the_search_box_goes_where_its_words_point(root: Client, asked: str, target: str) -> None:
    assert root.get("/find", {"q": asked})["Location"] == target


def test_the_search_box_finds_a_trace(root: Client, story: Story) -> None:
    assert root.get("/find", {"q": story.trace})["Location"] == f"/trace/{story.trace}"


def test_only_the_live_part_is_sent_for_a_refresh(root: Client) -> None:
    part = root.get("/", headers={"X-Fragment": "live"}).content.decode()

    assert "<html" not in part
    assert "Unacknowledged" in part


def test_an_alert_about_a_whole_repository_needs_no_branch(root: Client, story: Story) -> None:
    repository = story.repositories["acme/infra"]
    about = Finding.objects.create(
        repository=repository,
        branch="",
        fingerprint="f" * 64,
        check_kind="webhook_source",
        stable_class="signature_refused",
        severity="high",
        rule_hits=[{"rule": "source.signature_refused", "weight": 75, "inputs": []}],
        summary="Deliveries to webhook source 2 are refused: bad signature.",
        correlation_id="trace-of-source",
        opened_at=story.now,
        last_seen_at=story.now,
    )
    alert = Alert.objects.create(
        finding=about,
        repository=repository,
        branch="",
        severity="high",
        state_digest="e" * 64,
        opened_at=story.now,
        correlation_id="trace-of-source",
    )

    page = text_of(root, f"/alerts/{alert.pk}")

    assert "their signature does not verify" in page
    assert "not known any more" not in page
    assert "Acknowledge" in page
    assert "signature refused" in text_of(root, "/alerts?check=webhook_source")
    assert overview(EVERYBODY, now=story.now).branches_with_findings == 14
