"""Sends mixed deliveries at full speed while server and workers are killed three times.

    make chaos ARGS=tests/chaos/test_intake_chaos.py     10,000 deliveries
    CHAOS_DELIVERIES=2000 …                              fewer

The ordinary suite runs the short form. A request whose connection died is sent again under the same
id, as a person's or a host's redelivery would be; what was answered must then be worked, once.
"""

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from governance.models import Repository
from reconciliation.models import (
    ReconciliationTask,
    RepositoryWatch,
    TaskState,
    WebhookDelivery,
    WebhookRefusal,
)
from reconciliation.schedules import ensure_tick_schedule
from tests.chaos.intake_site import IntakeSite, Sender
from tests.chaos.world import git_repository
from tests.factories.governance import RepositoryFactory, TenantFactory
from tests.factories.webhooks import github_headers, push_body, webhook_source
from tests.integration.queue.programs import wait_until

DELIVERIES = int(os.environ.get("CHAOS_DELIVERIES", "10000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
REPOSITORIES = 5
SENDERS = 8
KILLS = 3

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills process groups"),
]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and which kind: push, again (an id sent before), ignored or forged."""

    kind: str
    path: str
    delivery_id: str
    body: bytes
    headers: dict[str, str]


@dataclass
class Answers:
    """What came back, by delivery id."""

    statuses: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: Request, status: int, text: bytes) -> None:
        told = json.loads(text)
        with self.lock:
            self.statuses[status] += 1
            self.outcomes[f"{request.kind} {told.get('outcome') or told.get('code')}"] += 1
            if status == 401:
                self.refused[request.path] += 1
            elif request.kind == "ignored":
                self.ignored.add(request.delivery_id)
            else:
                self.accepted.add(request.delivery_id)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[IntakeSite]:
    ensure_tick_schedule(now=timezone.now())
    made = IntakeSite(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def applied_log() -> Iterator[None]:
    """Write down every change of `applied_at`: the column itself would not show a second one."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE applied_log (delivery_pk bigint, applied timestamptz)")
        cursor.execute(
            "CREATE FUNCTION log_applied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO applied_log VALUES (NEW.id, NEW.applied_at); RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER log_applied AFTER UPDATE OF applied_at"
            " ON reconciliation_webhookdelivery FOR EACH ROW"
            " WHEN (OLD.applied_at IS DISTINCT FROM NEW.applied_at)"
            " EXECUTE FUNCTION log_applied()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER log_applied ON reconciliation_webhookdelivery")
        cursor.execute("DROP FUNCTION log_applied()")
        cursor.execute("DROP TABLE applied_log")


@pytest.mark.chaos
@pytest.mark.slow
def test_300_deliveries_survive_three_kills(
    site: IntakeSite, applied_log: None, tmp_path: Path
) -> None:
    storm(site, tmp_path, deliveries=300)


@pytest.mark.chaos
@pytest.mark.slow
def test_10000_deliveries_survive_three_kills(
    site: IntakeSite, applied_log: None, tmp_path: Path
) -> None:
    storm(site, tmp_path, deliveries=DELIVERIES)


def storm(site: IntakeSite, folder: Path, *, deliveries: int) -> None:
    """Send them all, kill three times meanwhile, let the rest be worked, and count."""
    requests = mixed(governed(folder), deliveries, random.Random(SEED))
    site.start()
    began = time.monotonic()
    answers = send_all(requests, site)
    took = time.monotonic() - began
    wait_until(
        lambda: not _unworked(), within_seconds=60 + deliveries / 50, what="all deliveries worked"
    )
    told = (
        f"seed {SEED}; {len(requests)} requests in {took:.1f} s; {site.restarts} restarts,"
        f" {answers.broken} broken connections; {dict(answers.statuses)};"
        f" {dict(sorted(answers.outcomes.items()))}"
    )
    print(told)
    verdict(requests, answers, site, told)


def governed(folder: Path) -> list[str]:
    """Govern repositories with a source each; all are read from one real repository on the disk."""
    clone = folder / "api.git"
    git_repository(clone, branches=4)
    tenant = TenantFactory.create(slug="acme")
    paths = []
    for number in range(REPOSITORIES):
        row: Repository = RepositoryFactory.create(
            tenant=tenant, slug=f"repo-{number}", host_kind="github", clone_url=str(clone)
        )
        RepositoryWatch.objects.create(
            repository=row, next_due_at=timezone.now() + timedelta(hours=6)
        )
        paths.append(f"/api/v1/webhooks/{webhook_source(row, now=timezone.now()).token}")
    return paths


def mixed(paths: Sequence[str], deliveries: int, chance: random.Random) -> list[Request]:
    """Return requests: seven in ten new pushes, one in ten each of again, ignored and forged."""
    made: list[Request] = []
    pushes: list[Request] = []
    for number in range(deliveries):
        kind = chance.choice(["push"] * 7 + ["again", "ignored", "forged"])
        if kind == "again" and pushes:
            made.append(Request("again", *_fields(chance.choice(pushes))))
            continue
        place = number % len(paths)
        branch = f"b{chance.randrange(20):04}"
        body = push_body(branch, f"{number:040x}", f"{number + 1:040x}", repository_id=100 + place)
        identity = f"delivery-{number}"
        headers = github_headers(
            body,
            event="issues" if kind == "ignored" else "push",
            delivery=identity,
            **({"secret": "wrong"} if kind == "forged" else {}),
        )
        headers["Content-Type"] = "application/json"
        one = Request("push" if kind == "again" else kind, paths[place], identity, body, headers)
        made.append(one)
        if one.kind == "push":
            pushes.append(one)
    return made


def _fields(one: Request) -> tuple[str, str, bytes, dict[str, str]]:
    return one.path, one.delivery_id, one.body, one.headers


def send_all(requests: Sequence[Request], site: IntakeSite) -> Answers:
    """Send at full speed over eight connections; kill when a quarter, half and most are sent."""
    answers = Answers()
    numbers = iter(range(len(requests)))
    lock = threading.Lock()
    sent = threading.Semaphore(0)
    failures: list[BaseException] = []

    def work() -> None:
        sender = Sender(site.port, patience_seconds=120)
        try:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                one = requests[number]
                answers.add(one, *sender.send(one.path, one.body, one.headers))
                sent.release()
        except BaseException as error:  # told to the test, which would else wait for ever
            failures.append(error)
            raise
        finally:
            sender.close()
            with answers.lock:
                answers.broken += sender.broken

    threads = [threading.Thread(target=work, daemon=True) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        for _ in range(len(requests) // (KILLS + 1)):
            while not sent.acquire(timeout=1):
                assert not failures, failures
        site.kill_and_restart()
    for thread in threads:
        thread.join(300)
    assert not failures, failures
    return answers


def _unworked() -> int:
    return WebhookDelivery.objects.filter(outcome="accepted", applied_at__isnull=True).count()


def verdict(requests: Sequence[Request], answers: Answers, site: IntakeSite, told: str) -> None:
    forged = Counter(one.path for one in requests if one.kind == "forged")
    kept = dict(WebhookDelivery.objects.values_list("delivery_id", "outcome"))
    unfinished = ReconciliationTask.objects.exclude(state=TaskState.COMPLETED)

    assert site.restarts == KILLS
    assert answers.broken >= KILLS, f"nobody was hit while sending: {told}"
    assert set(answers.statuses) == {202, 401}, told
    assert set(kept) == answers.accepted | answers.ignored, told
    assert {name for name, outcome in kept.items() if outcome == "accepted"} == answers.accepted
    assert answers.refused == forged, told
    # A refusal whose answer was lost is counted again when it is sent again, and never less.
    refusals = WebhookRefusal.objects.values_list("source__token", "count")
    counted = {f"/api/v1/webhooks/{token}": count for token, count in refusals}
    assert {path: min(counted[path], forged[path]) for path in forged} == forged, told
    assert list(unfinished.values_list("task_kind", "state", "last_error")) == [], told
    assert _times_applied() == dict.fromkeys(
        WebhookDelivery.objects.filter(outcome="accepted").values_list("pk", flat=True), 1
    ), told


def _times_applied() -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT delivery_pk, COUNT(*) FROM applied_log GROUP BY delivery_pk")
        return dict(cursor.fetchall())
