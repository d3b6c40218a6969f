"""The names of work and findings never change: every one in the golden file comes out the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciliation.domain.identity import (
    announcement_subject,
    finding_fingerprint,
    head_move,
    idempotency_key,
)
from reconciliation.domain.worklist import WorkItem, canonical_worklist

GOLDEN: dict[str, Any] = json.loads(
    Path(__file__).with_name("golden_identity_v1.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("known", GOLDEN["keys"])
def test_a_key_is_what_it_always_was(known: dict[str, str]) -> None:
    named = {name: value for name, value in known.items() if name != "key"}

    assert idempotency_key(**named) == known["key"]


@pytest.mark.parametrize("known", GOLDEN["fingerprints"])
def test_a_fingerprint_is_what_it_always_was(known: dict[str, str]) -> None:
    named = {name: value for name, value in known.items() if name != "fingerprint"}

    assert finding_fingerprint(**named) == known["fingerprint"]


@pytest.mark.parametrize("known", GOLDEN["announcement_subjects"])
def test_a_subject_is_what_it_always_was(known: dict[str, Any]) -> None:
    moves = [tuple(move) for move in known["moves"]]

    assert announcement_subject(moves) == known["subject"]
    assert announcement_subject(moves[::-1] * 2) == known["subject"]


@pytest.mark.parametrize("known", GOLDEN["head_moves"])
def test_a_move_is_called_as_it_always_was(known: dict[str, Any]) -> None:
    text = head_move(known["before"], known["after"], ordinal=known["ordinal"])

    assert text == known["text"]


def test_a_worklist_has_the_bytes_it_always_had() -> None:
    known = GOLDEN["worklist"]

    worklist = canonical_worklist(WorkItem(**item) for item in reversed(known["items"]))

    assert worklist.text == known["text"]
    assert worklist.digest == known["digest"]


def test_the_golden_file_leaves_nothing_out() -> None:
    assert {known["task_kind"] for known in GOLDEN["keys"]} == {
        "divergence_alert",
        "head_drift",
        "lease_renewal",
        "missing_run",
        "observe_refs",
        "stale_branch",
    }
    assert len(GOLDEN["keys"]) == len({known["key"] for known in GOLDEN["keys"]}) >= 20
    assert len(GOLDEN["fingerprints"]) == len({f["fingerprint"] for f in GOLDEN["fingerprints"]})
