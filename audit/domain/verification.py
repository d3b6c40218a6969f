"""Walks stored entries and says where they stop being what was appended; pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.domain.canonical import utc_text
from audit.domain.chain import CHAIN_FORMAT, Break, Head, problem_at

SEARCHABLE = (
    "action",
    "actor_kind",
    "actor_name",
    "at",
    "branch",
    "correlation_id",
    "object_id",
    "object_kind",
    "outcome",
    "policy_version",
    "repo",
    "seq",
    "task_kind",
    "tenant",
    "workspace",
)
"""The columns that repeat parts of the body, so that people can search."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One row as the database gives it back; `columns` holds the values of `SEARCHABLE`."""

    seq: int
    prev_hash: str
    body: str
    hash: str
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a chain was followed, and what stopped it, if anything did."""

    reached: Head
    broken: Break | None = None


def follow(start: Head, rows: Iterable[StoredEntry]) -> Walk:
    """Return how far `rows`, in ascending order, continue `start` and say the truth about it.

    The hash covers the body only; a column that was changed to hide an entry from searches, or to
    make it look like another's, is a break too.
    """
    place = start
    for row in rows:
        problem = problem_at(place, (row.seq, row.prev_hash, row.body, row.hash))
        problem = problem or disagreement(row)
        if problem:
            return Walk(place, Break(start.tenant, place.seq + 1, problem))
        place = Head(start.tenant, row.seq, row.hash)
    return Walk(place)


def disagreement(row: StoredEntry) -> str:
    """Return how the searchable columns contradict the hashed body, or the empty string."""
    try:
        body = json.loads(row.body)
    except ValueError:
        return "content is not JSON"
    if not isinstance(body, dict) or body.get("format") != CHAIN_FORMAT:
        return f"content is not of format {CHAIN_FORMAT}"
    for name in SEARCHABLE:
        stored = row.columns[name]
        said = utc_text(stored) if isinstance(stored, datetime) else stored
        if said != body.get(name):
            return f"column {name} contradicts the content"
    return ""
