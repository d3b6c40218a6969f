"""Whatever the address of a list in the admin asks for, it is answered: never by a 500."""

from collections.abc import Iterator
from itertools import count

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models, transaction
from django.test import Client
from django.urls import reverse

from tests.conftest import World
from tests.factories.reconciliation import AlertFactory, FindingFactory, SweepFactory, TaskFactory

VALUES = (
    "2026-01-01T00:00:00+21:20",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30",
    "99999999999999999999999999",
    "-1",
    "1e400",
    "(",
    "*",
    "\\",
    "{",
    "é" * 300,
    "%",
    "",
)
LOOKUPS = (
    "",
    "__exact",
    "__gte",
    "__lt",
    "__in",
    "__isnull",
    "__range",
    "__year",
    "__date",
    "__time",
    "__hour",
    "__week_day",
    "__contains",
    "__iregex",
    "__regex",
    "__no_such",
    "__has_key",
    "__pk",
)
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def root(tenant_world: World) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    return client


def addresses() -> Iterator[tuple[type[models.Model], str, str]]:
    """Yield lists with a filter: each kind of column with each lookup, values in turns.

    The columns of one kind share their code, so another list is asked each time.
    """
    by_kind: dict[str, list[tuple[type[models.Model], str]]] = {}
    for model in MODELS:
        for field in model._meta.concrete_fields:
            by_kind.setdefault(type(field).__name__, []).append((model, field.name))
        by_kind.setdefault("the list's own", []).extend(
            (model, name) for name in ("q", "o", "p", "e", "all", "tenant", "_popup")
        )
    turn = count()
    for columns in by_kind.values():
        for lookup in LOOKUPS:
            number = next(turn)
            model, name = columns[number % len(columns)]
            yield model, f"{name}{lookup}", VALUES[number % len(VALUES)]


@pytest.mark.parametrize("column", ["created_at", "run_after", "completed_at"])
@pytest.mark.parametrize("lookup", ["", "__gte", "__lt", "__exact"])
def test_a_list_of_the_admin_takes_a_moment_with_any_offset(
    column: str, lookup: str, root: Client, tenant_world: World
) -> None:
    task = TaskFactory.create(repository=tenant_world.repository)
    address = reverse("admin:reconciliation_reconciliationtask_changelist")
    moment = task.created_at.replace(tzinfo=None).isoformat()

    answers = [
        root.get(address, {f"{column}{lookup}": f"{moment}{offset}"})
        for offset in ("+21:20", "-21:20", "Z", "")
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    if (column, lookup) == ("created_at", "__gte"):
        assert [len(answer.context["cl"].result_list) for answer in answers] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"created_at__gte": "yesterday"}, "is no moment"),
        ({"created_at__gte": "9999-12-31T23:59:59Z"}, "from 1971 to 9997"),
        ({"created_at__grt": "2026-01-01"}, "Did you mean &#x27;gt&#x27;?"),
        ({"created_at__year": "0"}, "is no year"),
        ({"attempts__gt": "many"}, "attempts"),
        ({"repo__regex": "(a+)+$"}, "takes no lookup"),
        ({"q": "x" * 60_000}, "at most 1000 characters"),
        ({"repo__contains": "x" * 60_000}, "at most 1000 characters"),
    ],
)
def test_a_list_of_the_admin_says_which_filter_it_does_not_understand(
    query: dict[str, str], words: str, root: Client
) -> None:
    answer = root.get(reverse("admin:reconciliation_reconciliationtask_changelist"), query)

    assert answer.status_code == 400
    assert words in answer.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("row", ["9" * 30, "é"])
def test_a_row_that_cannot_be_is_not_found(
    row: str, model: type[models.Model], root: Client
) -> None:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"

    with transaction.atomic():
        answers = [
            root.get(reverse(f"{name}_{page}", args=[row])) for page in ("change", "history")
        ]
        transaction.set_rollback(True)

    assert {answer.status_code for answer in answers} <= {302, 404, 403}


def test_who_is_not_logged_in_is_sent_to_the_login_and_told_nothing(db: None) -> None:
    address = reverse("admin:reconciliation_reconciliationtask_changelist")

    assert Client().get(address, {"created_at__gte": "x"}).status_code == 302


def test_a_list_of_the_admin_answers_any_filter(root: Client, tenant_world: World) -> None:
    AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))
    TaskFactory.create(repository=tenant_world.repository)
    SweepFactory.create()
    failed: dict[str, str] = {}

    for model, name, value in addresses():
        list_of = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        with transaction.atomic():
            # A statement that PostgreSQL refuses would spoil the test's own transaction.
            answer = root.get(reverse(list_of), {name: value})
            transaction.set_rollback(True)
        if answer.status_code >= 500:
            cause = getattr(answer, "exc_info", None)
            failed[f"{model.__name__} {name}={value[:40]}"] = repr(cause and cause[1])[:90]

    assert failed == {}
