"""Sends mixed deliveries at full speed while server and workers are killed three times.

    make chaos ARGS=tests/chaos/test_intake_chaos.py     10,000 deliveries
    CHAOS_DELIVERIES=2000 …                              fewer

The ordinary suite runs the short form. A request whose connection died is sent again under the same
id, as a person's or a host's redelivery would be; what was answered must then be worked, once. An
observation that is at work at each of three kills is taken for poison, as it should be: then it is
requeued by hand, as a person would.
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
from django.db.models import QuerySet
from django.utils import timezone

from audit.domain.caller import NOBODY, Caller
from governance.models import Repository
from reconciliation.models import (
    ReconciliationTask,
    RepositoryWatch,
    TaskState,
    WebhookDelivery,
    WebhookRefusal,
)
from reconciliation.schedules import ensure_tick_schedule
from reconciliation.selectors.dead_letters import DeadLetterChoice
from reconciliation.services.dead_letters import requeue_dead_letters
from tests.chaos.intake_site import IntakeSite, Sender
from tests.chaos.world import git_repository
from tests.factories.governance import RepositoryFactory, TenantFactory
from tests.factories.webhooks import github_headers, push_body, webhook_source

DELIVERIES = int(os.environ.get("CHAOS_DELIVERIES", "10000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
REPOSITORIES = 5
SENDERS = 8
PATIENCE_SECONDS = 300
"""How long a machine may make no progress at all; while there is some, it is waited for."""

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


@pytest.mark.slow
def test_200_deliveries_survive_two_kills(
    site: IntakeSite, applied_log: None, tmp_path: Path
) -> None:
    storm(site, tmp_path, deliveries=200, kills=2)


@pytest.mark.chaos
@pytest.mark.slow
def test_10000_deliveries_survive_three_kills(
    site: IntakeSite, applied_log: None, tmp_path: Path
) -> None:
    storm(site, tmp_path, deliveries=DELIVERIES, kills=3)


def storm(site: IntakeSite, folder: Path, *, deliveries: int, kills: int) -> None:
    """Send them all, kill so often meanwhile, let the rest be worked, and count."""
    requests = mixed(governed(folder), deliveries, random.Random(SEED))
    site.start()
    began = time.monotonic()
    answers = send_all(requests, site, kills=kills)
    sent = time.monotonic() - began
    requeued = let_it_end()
    told = (
        f"seed {SEED}; {len(requests)} requests in {sent:.1f} s, all worked after"
        f" {time.monotonic() - began:.1f} s; {site.restarts} restarts, {answers.broken} broken"
        f" connections, {requeued} requeued; {dict(answers.statuses)};"
        f" {dict(sorted(answers.outcomes.items()))}"
    )
    print(told)
    assert site.restarts == kills
    assert answers.broken >= kills, f"nobody was hit while sending: {told}"
    verdict(requests, answers, told)


def let_it_end() -> int:
    """Wait until all is worked, and return how many poisonous tasks were requeued for that.

    A slow machine is given all the time it needs, as long as what is left grows less.
    """
    requeued, least, deadline = 0, sys.maxsize, time.monotonic() + PATIENCE_SECONDS
    while left := _unworked() + _unfinished().count():
        if _unfinished().filter(state=TaskState.DEAD).exists():
            requeued += _requeue_poison()
        if left < least:
            least, deadline = left, time.monotonic() + PATIENCE_SECONDS
        tasks = _unfinished().values_list("task_kind", "state", "attempts", "last_error")
        assert time.monotonic() < deadline, f"{left} are left, {list(tasks[:20])}"
        time.sleep(0.2)
    return requeued


def _requeue_poison() -> int:
    dealt = requeue_dead_letters(
        DeadLetterChoice(error_class="poison", error_code="claim_lost"),
        caller=Caller(NOBODY.actor, None, frozenset({"admin", "tasks"})),
        reason="We killed its workers ourselves.",
        correlation_id="intake-chaos",
        now=timezone.now(),
    )
    return len(dealt.done)


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


def send_all(requests: Sequence[Request], site: IntakeSite, *, kills: int) -> Answers:
    """Send at full speed over eight connections, and kill after equal parts of them."""
    answers = Answers()
    numbers = iter(range(len(requests)))
    lock = threading.Lock()
    sent = threading.Semaphore(0)
    failures: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        sender = Sender(site.port, patience_seconds=2 * PATIENCE_SECONDS, over=over)
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
    try:
        for _ in range(kills):
            for _ in range(len(requests) // (kills + 1)):
                while not sent.acquire(timeout=1):
                    assert not failures, failures
            site.kill_and_restart()
        for thread in threads:
            thread.join(4 * PATIENCE_SECONDS)
            assert not thread.is_alive(), "a sender never ended"
    finally:
        over.set()  # should this fail, nobody goes on knocking
    assert not failures, failures
    return answers


def _unworked() -> int:
    return WebhookDelivery.objects.filter(outcome="accepted", applied_at__isnull=True).count()


def _unfinished() -> QuerySet[ReconciliationTask]:
    return ReconciliationTask.objects.exclude(state=TaskState.COMPLETED)


def verdict(requests: Sequence[Request], answers: Answers, told: str) -> None:
    """Fail unless what was answered is what was kept, and each delivery was worked once."""
    forged = Counter(one.path for one in requests if one.kind == "forged")
    kept = dict(WebhookDelivery.objects.values_list("delivery_id", "outcome"))

    assert set(answers.statuses) == {202, 401}, told
    assert set(kept) == answers.accepted | answers.ignored, told
    assert {name for name, outcome in kept.items() if outcome == "accepted"} == answers.accepted
    assert answers.refused == forged, told
    # A refusal whose answer was lost is counted again when it is sent again, and never less.
    refusals = WebhookRefusal.objects.values_list("source__token", "count")
    counted = {f"/api/v1/webhooks/{token}": count for token, count in refusals}
    assert {path: min(counted[path], forged[path]) for path in forged} == forged, told
    assert _times_applied() == dict.fromkeys(
        WebhookDelivery.objects.filter(outcome="accepted").values_list("pk", flat=True), 1
    ), told


def _times_applied() -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT delivery_pk, COUNT(*) FROM applied_log GROUP BY delivery_pk")
        return dict(cursor.fetchall())
