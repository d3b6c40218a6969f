"""The arrows that the model's docstring names are the arrows that the code takes, on both sides."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Origin, ReconciliationTask, TaskKind, TaskState
from reconciliation.remotes.base import RemoteNotFound, RemoteUnavailable
from reconciliation.selectors.dead_letters import DeadLetterChoice
from reconciliation.services.dead_letters import discard_dead_letters, requeue_dead_letters
from reconciliation.services.queue import Planned, enqueue
from tests.factories.governance import CORRELATION_ID
from tests.functional.loop.test_the_loop import ADMIN, Loop, loop
from tests.functional.webhooks.hosted import Hosted

__all__ = ["loop"]

pytestmark = pytest.mark.django_db
TABLE = ReconciliationTask._meta.db_table
SOURCES = Path(__file__).resolve().parents[3] / "reconciliation"
REASON = "The host was mended this morning."

WRITERS = {
    "services/apply/deletions.py",
    "services/apply/endings.py",
    "services/claiming.py",
    "services/dead_letters.py",
    "services/queue.py",
    "services/reap.py",
}
"""The files that change the state of a task; each is exercised below, or by the tests beside."""


def named_arrows() -> set[tuple[str, str]]:
    text = re.sub(r"\([^)]*\)", "", ReconciliationTask.__doc__ or "")
    arrows = set()
    for start, ends in re.findall(r"(\w+) -> (\w+(?: \| \w+)*)", text):
        arrows |= {(start, end) for end in ends.split(" | ")}
    return arrows


@pytest.fixture
def github(loop: Loop) -> Hosted:
    return Hosted(loop, "github")


@pytest.fixture
def recording(db: None) -> Iterator[None]:
    """Have the database record every change of a task's state."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE arrows (was TEXT, became TEXT)")
        for statement in _record_into_arrows():
            cursor.execute(statement)
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER record_arrow")
            cursor.execute("DROP TABLE arrows")


def _record_into_arrows() -> list[str]:
    if connection.vendor == "sqlite":
        statement = (
            "CREATE TEMPORARY TRIGGER record_arrow AFTER UPDATE OF state ON main.{table}"
            " WHEN OLD.state <> NEW.state"
            " BEGIN INSERT INTO arrows VALUES (OLD.state, NEW.state); END"
        )
        return [statement.format(table=TABLE)]
    return [
        "CREATE FUNCTION pg_temp.record_arrow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO arrows VALUES (OLD.state, NEW.state); RETURN NULL; END$$",
        f"CREATE TRIGGER record_arrow AFTER UPDATE OF state ON {TABLE} FOR EACH ROW"
        " WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION pg_temp.record_arrow()",
    ]


def arrows_taken() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT was, became FROM arrows")
        return set(cursor.fetchall())


def announce_again(loop: Loop) -> None:
    """Queue one and the same observation."""
    repository = loop.repository
    enqueue(
        [
            Planned(
                item=WorkItem(
                    tenant=repository.tenant.slug,
                    workspace=repository.workspace.slug,
                    repo=repository.slug,
                    branch="",
                    task_kind=TaskKind.OBSERVE_REFS,
                    about="the same thing",
                ),
                repository_id=repository.pk,
                correlation_id=CORRELATION_ID,
                origin=Origin.API,
                priority=0,
                run_after=loop.now,
                announced_at=loop.now,
            )
        ],
        now=loop.now,
        revive=True,
    )


def choice() -> DeadLetterChoice:
    return DeadLetterChoice(task_ids=tuple(ReconciliationTask.objects.values_list("pk", flat=True)))


def let_it_die(loop: Loop) -> None:
    loop.remote.fail(loop.url, RemoteUnavailable("the host does not answer"))
    ReconciliationTask.objects.update(attempts=0, max_attempts=2)
    loop.drain()
    loop.drain(after=timedelta(hours=2))
    assert ReconciliationTask.objects.get().state == TaskState.DEAD
    loop.remote.fail(loop.url, None)


def delete_on_its_host(github: Hosted) -> None:
    ReconciliationTask.objects.update(run_after=github.loop.now + timedelta(days=365))
    github.loop.remote.fail(github.loop.url, RemoteNotFound("there is no such repository"))
    github.repository_event("deleted")
    github.settle()


@pytest.mark.usefixtures("recording")
def test_the_docstring_names_the_arrows_that_are_taken_and_no_other(github: Hosted) -> None:
    loop = github.loop
    announce_again(loop)
    loop.drain()
    announce_again(loop)
    let_it_die(loop)
    requeue_dead_letters(
        choice(), caller=ADMIN, reason=REASON, correlation_id=CORRELATION_ID, now=loop.now
    )
    let_it_die(loop)
    discard_dead_letters(
        choice(), caller=ADMIN, reason=REASON, correlation_id=CORRELATION_ID, now=loop.now
    )
    announce_again(loop)
    delete_on_its_host(github)

    assert arrows_taken() == named_arrows()


def test_no_other_file_changes_the_state_of_a_task() -> None:
    """A new one must be exercised above: what it does must stand in the docstring."""
    writes = re.compile(
        r"UPDATE \{?_?TABLE\}? SET\s+state|UPDATE \{_TASK\} SET (state|\{assignments\})"
        r"|UPDATE \{_TABLE_SET\}|SET state = 'running'|DO UPDATE SET\s+rerun"
        r"|state=TaskState\.\w+,\s+(series|completed_at)"
    )
    found = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if "migrations" not in path.parts
        and "services/apply/findings.py" not in path.as_posix()  # of findings, not of tasks
        and writes.search(path.read_text(encoding="utf-8"))
    }

    assert found == WRITERS
