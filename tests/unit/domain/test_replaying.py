"""What a replay calls a difference: keys, worklists out of order or shape, texts that changed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from audit.domain.canonical import canonical_json
from reconciliation.domain.replaying import (
    Difference,
    StoredTask,
    key_differences,
    text_differences,
    worklist_differences,
)
from reconciliation.domain.worklist import WorkItem, Worklist, canonical_worklist

NOON = "2026-03-02T12:00:00.000000Z"
WORKLIST = canonical_worklist(
    [
        WorkItem("acme", "main", "api", "", "observe_refs", "sweep", NOON),
        WorkItem("acme", "main", "api", "a", "stale_branch", "idle at x", NOON),
        WorkItem("acme", "main", "api", "b", "lease_renewal", "lease-1", NOON, lease_id="lease-1"),
        WorkItem("acme", "main", "api", "b", "missing_run", "plain"),
    ]
)


def task_of(item: WorkItem, ordinal: int) -> StoredTask:
    return StoredTask(
        id=100 + ordinal,
        tenant=item.tenant,
        workspace=item.workspace,
        repo=item.repo,
        branch=item.branch,
        task_kind=item.task_kind,
        subject=item.subject,
        key=item.key,
        run_id=item.run_id,
        lease_id=item.lease_id,
        ordinal=ordinal,
    )


TASKS = {ordinal: task_of(item, ordinal) for ordinal, item in enumerate(WORKLIST.items)}


def check(
    text: str = WORKLIST.text,
    digest: str = WORKLIST.digest,
    planned: int = 4,
    tasks: dict[int, StoredTask] = TASKS,
) -> list[Difference]:
    return list(
        worklist_differences("sweep 1", text=text, digest=digest, planned=planned, tasks=tasks)
    )


def test_what_was_planned_comes_out_the_same() -> None:
    assert check() == []


@pytest.mark.parametrize("known", [(), (0,), (1, 3), (0, 1, 2)])
def test_items_whose_key_was_known_already_have_no_task(known: tuple[int, ...]) -> None:
    assert check(tasks={ordinal: TASKS[ordinal] for ordinal in known}) == []


def test_a_digest_of_something_else() -> None:
    (difference,) = check(digest="0" * 64)

    assert difference == Difference(
        "digest", "sweep 1", "worklist_digest", "0" * 64, WORKLIST.digest
    )


def test_items_in_another_order() -> None:
    swapped = Worklist(WORKLIST.items[::-1])
    tasks = {ordinal: task_of(item, ordinal) for ordinal, item in enumerate(swapped.items)}

    found = check(swapped.text, swapped.digest, tasks=tasks)

    assert [(one.what, one.at) for one in found] == [("order", "item 0")]
    assert found[0].stored.startswith("acme api b missing_run")
    assert found[0].recomputed.startswith("acme api")


def test_items_in_another_order_are_noticed_without_their_tasks_too() -> None:
    swapped = Worklist(WORKLIST.items[::-1])

    assert [one.what for one in check(swapped.text, swapped.digest, tasks={})] == ["order"]


def test_an_item_twice() -> None:
    twice = Worklist((*WORKLIST.items, WORKLIST.items[-1]))
    tasks = TASKS | {4: replace(TASKS[3], ordinal=4)}

    found = check(twice.text, twice.digest, 5, tasks)

    assert [(one.what, one.at, one.recomputed) for one in found] == [
        ("order", "item 4", "no such item")
    ]


def test_another_number_of_items_than_planned() -> None:
    assert [one.at for one in check(planned=5)] == ["planned"]


@pytest.mark.parametrize(
    "text",
    [
        WORKLIST.text.replace(",", ", "),
        json.dumps(json.loads(WORKLIST.text), indent=1),
        WORKLIST.text + "\n",
    ],
)
def test_the_same_items_in_other_bytes(text: str) -> None:
    assert [(one.what, one.at) for one in check(text)] == [("worklist", "worklist")]


@pytest.mark.parametrize("text", ["", "{", "null", "7", '[{"about": 1}]', "[[]]", "[1.5]", '["x"]'])
def test_what_is_no_worklist_at_all_is_told_and_stops_nothing(text: str) -> None:
    found = check(text, tasks={})

    assert [one.what for one in found] == ["worklist"]
    assert "Error" in found[0].recomputed


@pytest.mark.parametrize(
    "change",
    [
        {"branch": "z"},
        {"task_kind": "head_drift"},
        {"tenant": "rival"},
        {"workspace": "side"},
        {"subject": "idle at y " + NOON},
        {"lease_id": "lease-9"},
        {"run_id": "run-9"},
        {"key": "0" * 64},
    ],
)
def test_a_task_that_is_not_what_the_worklist_says(change: dict[str, Any]) -> None:
    found = check(tasks=TASKS | {1: replace(TASKS[1], **change)})

    assert [(one.what, one.at) for one in found] == [("worklist", "task 101")]


def test_a_task_beyond_the_worklist() -> None:
    found = check(tasks=TASKS | {7: replace(TASKS[3], ordinal=7)})

    assert [(one.at, one.recomputed) for one in found] == [("task 103", "no such item")]


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_comes_out_of_the_tasks_own_fields() -> None:
    for task in TASKS.values():
        assert list(key_differences(task)) == []


@pytest.mark.parametrize(
    "field", ["tenant", "workspace", "repo", "branch", "task_kind", "subject", "key"]
)
def test_a_task_whose_key_is_not_its_own(field: str) -> None:
    change: dict[str, Any] = {field: "changed"}
    changed = replace(TASKS[1], **change)

    (difference,) = key_differences(changed)

    assert (difference.what, difference.of) == ("key", "task 101")
    assert difference.stored == changed.key
    assert difference.recomputed != changed.key


def test_what_a_task_is_linked_to_is_not_in_its_key() -> None:
    assert list(key_differences(replace(TASKS[1], run_id="run-1", ordinal=99))) == []


# --- texts ----------------------------------------------------------------------------------------


def differing(old: object, new: object) -> list[tuple[str, str, str]]:
    found = text_differences(
        "decision", "evaluation 1", stored=canonical_json(old), recomputed=canonical_json(new)
    )
    return [(one.at, one.stored, one.recomputed) for one in found]


def test_equal_texts_do_not_differ() -> None:
    assert differing({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


def test_every_place_that_differs_is_named() -> None:
    old = {"decision": "drift", "findings": [{"severity": "high", "hits": ["a"]}], "same": 1}
    new = {"decision": "in_sync", "findings": [{"severity": "low", "hits": ["b"]}], "same": 1}

    assert differing(old, new) == [
        ("decision", '"drift"', '"in_sync"'),
        ("findings[0].hits[0]", '"a"', '"b"'),
        ("findings[0].severity", '"high"', '"low"'),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [({"a": 1}, {"a": True}), ({"a": 1}, {"a": "1"}), ({"a": [1]}, {"a": [1, 2]}), ({"a": 1}, {})],
)
def test_values_of_other_kinds_or_lengths_differ(old: object, new: object) -> None:
    assert [at for at, _, _ in differing(old, new)] == ["a"]


def test_the_same_values_in_other_bytes_differ_too() -> None:
    (one,) = text_differences("decision", "evaluation 1", stored='{"a": 1}', recomputed='{"a":1}')

    assert one.stored == "the same values in other bytes"


def test_a_missing_null_is_a_difference() -> None:
    assert len(differing({"a": None}, {})) == 1


def test_what_is_no_json_is_told() -> None:
    (one,) = text_differences("decision", "evaluation 1", stored="{", recomputed="{}")

    assert one.recomputed.startswith("no JSON")


def test_long_values_are_shown_in_short() -> None:
    ((_, old, new),) = differing({"a": "x" * 1000}, {"a": "y" * 1000})

    assert (len(old), len(new)) == (300, 300)
