"""One form per value: what is hashed here today must hash the same everywhere, for ever."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json, sha256_of, utc_text

ROOT = Path(__file__).resolve().parents[3]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_keys_are_sorted_spaces_left_out_and_letters_kept() -> None:
    value = {"b": [1, None, True], "a": {"ü": "straße", "z": "\u2028"}}

    assert canonical_json(value) == '{"a":{"z":"\u2028","ü":"straße"},"b":[1,null,true]}'


def test_the_digest_of_a_known_value_never_changes() -> None:
    known = {"branch": "feature/ü", "at": datetime(2026, 3, 2, 12, tzinfo=UTC), "n": [1, 2]}

    assert sha256_of(known) == "1b01d113e6edbf60eda04f3989e54ee4694170c67262ba7aeade891903660f30"


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=6))
def test_the_order_in_which_keys_were_set_leaves_no_trace(value: dict[str, Any]) -> None:
    reversed_keys = dict(reversed(value.items()))

    assert canonical_json(reversed_keys) == canonical_json(value)


@pytest.mark.parametrize(
    "refused",
    [1.5, {"a": [1.0]}, {1: "a"}, {"a": {2: 3}}, UUID(int=1), {"a": {1, 2}}, b"bytes"],
)
def test_what_has_no_portable_text_is_refused(refused: object) -> None:
    with pytest.raises(TypeError):
        canonical_json({"data": refused})


def test_a_mapping_that_is_no_dict_is_refused_inside_a_value() -> None:
    with pytest.raises(TypeError, match="mappingproxy"):
        canonical_json({"data": MappingProxyType({"a": 1})})


def test_half_a_surrogate_pair_cannot_be_hashed() -> None:
    with pytest.raises(UnicodeEncodeError):
        sha256_of({"branch": "\udc80"})


def test_an_instant_reads_the_same_from_every_time_zone() -> None:
    berlin = timezone(timedelta(hours=2))

    assert utc_text(datetime(2026, 6, 1, 14, 0, 0, 5, tzinfo=berlin)) == (
        "2026-06-01T12:00:00.000005Z"
    )


def test_years_are_four_digits() -> None:
    assert utc_text(datetime(33, 4, 3, tzinfo=UTC)) == "0033-04-03T00:00:00.000000Z"


def test_an_instant_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        utc_text(datetime(2026, 6, 1))  # noqa: DTZ001 - what is to be refused


@pytest.mark.parametrize(
    "environment", [{"PYTHONHASHSEED": "1"}, {"LC_ALL": "C", "TZ": "Asia/Tokyo"}]
)
def test_another_process_with_another_locale_hash_seed_and_zone_agrees(
    environment: dict[str, str],
) -> None:
    value = {"b": "ü", "a": [1, {"y": 1, "x": 2}], "at": datetime(2026, 3, 2, tzinfo=UTC)}
    program = (
        "import datetime\n"
        "from audit.domain.canonical import sha256_of\n"
        f"print(sha256_of({value!a}))"
    )

    said = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.strip() == sha256_of(value)
