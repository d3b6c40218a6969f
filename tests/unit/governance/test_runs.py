"""What run records may say."""

from typing import Any

import pytest

from governance.domain.runs import InvalidRun, RunEnd, RunStart, run_end, run_start
from tests.factories.governance import HEAD_A, HEAD_B

START: dict[str, Any] = {
    "run_id": "run-1",
    "branch": "refs/heads/topic",
    "base_sha": "A" * 40,
    "actor": "alice",
}
END: dict[str, Any] = {
    "status": "succeeded",
    "head_sha": HEAD_B,
    "gate_results": {"b": "passed", "a": "failed"},
    "conflict_classes": ["text", "api", "text"],
}


def test_a_start_is_brought_into_its_canonical_form() -> None:
    assert run_start(**START) == RunStart("run-1", "topic", HEAD_A, "alice")


@pytest.mark.parametrize("base", ["0" * 40, "0" * 64, "a" * 64])
def test_a_run_may_start_from_nothing_or_from_a_sha256_commit(base: str) -> None:
    assert run_start(**START | {"base_sha": base}).base_sha == base


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", ""),
        ("run_id", "a b"),
        ("run_id", "x" * 101),
        ("branch", "a..b"),
        ("base_sha", "a" * 39),
        ("base_sha", ""),
        ("actor", ""),
        ("actor", "x" * 201),
        ("actor", "a\nb"),
        ("context_hash", "x" * 129),
        ("lease_id", "x" * 101),
    ],
)
def test_a_start_that_cannot_be_names_what_is_wrong(field: str, value: str) -> None:
    with pytest.raises(InvalidRun) as refused:
        run_start(**START | {field: value})

    assert refused.value.field == field


def test_an_end_sorts_its_gates_and_conflict_classes() -> None:
    assert run_end(**END) == RunEnd(
        status="succeeded",
        head_sha=HEAD_B,
        gate_results=(("a", "failed"), ("b", "passed")),
        conflict_classes=("api", "text"),
    )


@pytest.mark.parametrize("head", ["", "0" * 40])
def test_a_failed_run_may_have_no_head(head: str) -> None:
    assert run_end(status="failed", head_sha=head).head_sha == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "running"),
        ("status", "abandoned"),
        ("head_sha", ""),
        ("head_sha", "0" * 40),
        ("head_sha", "a" * 41),
        ("patch_hash", "x" * 129),
        ("gate_results", {"x" * 201: "passed"}),
        ("gate_results", {"gate": "x" * 201}),
        ("gate_results", {f"g{number}": "passed" for number in range(201)}),
        ("conflict_classes", ["\x00"]),
    ],
)
def test_an_end_that_cannot_be_names_what_is_wrong(field: str, value: object) -> None:
    with pytest.raises(InvalidRun) as refused:
        run_end(**END | {field: value})

    assert refused.value.field == field
