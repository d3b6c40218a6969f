"""Worklists: every item once, in code-point order, with the same bytes from any input order."""

import hashlib
import json
import locale
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.identity import idempotency_key
from reconciliation.domain.worklist import WorkItem, canonical_worklist

NAMES = st.sampled_from(
    ["acme", "Acme", "ACME", "ab", "a-b", "a_b", "é", "e\u0301", "ß", "\uffff", "😀"]
)
ITEMS = st.builds(
    WorkItem,
    tenant=NAMES,
    workspace=st.sampled_from(["main", "side"]),
    repo=NAMES,
    branch=NAMES | st.just(""),
    task_kind=st.sampled_from(["head_drift", "observe_refs", "missing_run"]),
    about=st.sampled_from(["x", "y", "x y"]),
    moment=st.sampled_from(["", "2026-03-02T12:00:00.000000Z", "y"]),
    run_id=st.none() | st.just("run-1"),
    lease_id=st.none() | st.just("lease-1"),
)
ITEM = WorkItem("acme", "main", "api", "main", "head_drift", "a..b@1")


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=12), st.randoms(use_true_random=False))
def test_any_input_order_gives_the_same_bytes(items: list[WorkItem], chance: Any) -> None:
    expected = canonical_worklist(items)
    mixed = items * 2
    chance.shuffle(mixed)

    worklist = canonical_worklist(mixed)

    assert worklist == expected
    assert (worklist.text, worklist.digest) == (expected.text, expected.digest)


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=12))
def test_items_are_sorted_by_utf8_bytes_each_key_once(items: list[WorkItem]) -> None:
    worklist = canonical_worklist(items)

    places = [
        tuple(part.encode() for part in (one.tenant, one.repo, one.branch, one.task_kind))
        for one in worklist.items
    ]
    assert places == sorted(places)
    keys = [one.key for one in worklist.items]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {one.key for one in items}


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=6))
def test_the_digest_is_the_sha256_of_the_text_and_the_text_is_json(items: list[WorkItem]) -> None:
    worklist = canonical_worklist(items)

    assert hashlib.sha256(worklist.text.encode()).hexdigest() == worklist.digest
    parsed = json.loads(worklist.text)
    assert [one["branch"] for one in parsed] == [one.branch for one in worklist.items]
    assert all(list(one) == sorted(one) for one in parsed)


def test_upper_case_sorts_before_lower_case_in_every_locale() -> None:
    names = ["b", "a", "B", "A", "_", "Z", "é", "z"]
    items = [replace(ITEM, branch=name) for name in names]
    before = locale.setlocale(locale.LC_COLLATE)

    worklist = canonical_worklist(items)

    assert [one.branch for one in worklist.items] == ["A", "B", "Z", "_", "a", "b", "z", "é"]
    assert locale.setlocale(locale.LC_COLLATE) == before


def test_git_tells_composed_from_decomposed_names_and_so_do_we() -> None:
    composed, decomposed = replace(ITEM, branch="\u00e9"), replace(ITEM, branch="e\u0301")

    assert len(canonical_worklist([composed, decomposed]).items) == 2
    assert composed.key != decomposed.key


def test_the_observation_of_a_repository_goes_before_its_branches() -> None:
    observation = replace(ITEM, branch="", task_kind="observe_refs", about="sweep")

    assert canonical_worklist([ITEM, observation]).items == (observation, ITEM)


def test_inside_a_branch_the_kinds_are_sorted() -> None:
    kinds = ["stale_branch", "head_drift", "missing_run", "divergence_alert", "lease_renewal"]

    worklist = canonical_worklist(replace(ITEM, task_kind=kind) for kind in kinds)

    assert [one.task_kind for one in worklist.items] == sorted(kinds)


@pytest.mark.parametrize("field", ["tenant", "workspace", "repo", "branch", "task_kind", "about"])
def test_everything_that_names_the_work_is_in_its_key(field: str) -> None:
    assert replace(ITEM, **{field: "other"}).key != ITEM.key


def test_what_a_task_is_linked_to_is_not_in_its_key() -> None:
    assert replace(ITEM, run_id="run-1", lease_id="lease-1").key == ITEM.key


def test_the_key_is_made_of_about_and_moment() -> None:
    timed = replace(ITEM, about="sweep", moment="2026-03-02T12:00:00.000000Z")

    assert timed.subject == "sweep 2026-03-02T12:00:00.000000Z"
    assert timed.key == idempotency_key(
        tenant="acme",
        workspace="main",
        repo="api",
        branch="main",
        task_kind="head_drift",
        subject="sweep 2026-03-02T12:00:00.000000Z",
    )
    assert replace(ITEM, moment="").subject == "a..b@1"


def test_the_same_state_has_the_same_digest_whenever_it_is_planned() -> None:
    noon = [replace(ITEM, about="sweep", moment="2026-03-02T12:00:00.000000Z")]
    later = [replace(ITEM, about="sweep", moment="2026-03-02T12:01:00.000000Z")]

    assert canonical_worklist(noon).digest == canonical_worklist(later).digest
    assert canonical_worklist(noon).items[0].key != canonical_worklist(later).items[0].key


def test_of_items_with_one_key_the_same_one_is_always_kept() -> None:
    linked, plain = replace(ITEM, lease_id="lease-1"), ITEM

    assert canonical_worklist([linked, plain]) == canonical_worklist([plain, linked])
    assert canonical_worklist([linked, plain]).items == (linked,)


def test_an_empty_worklist_has_a_digest_too() -> None:
    empty = canonical_worklist([])

    assert (empty.items, empty.text) == ((), "[]")
    assert empty.digest == hashlib.sha256(b"[]").hexdigest()
