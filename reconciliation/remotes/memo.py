"""Remember answers about commits beside a mirror: small, bounded, and never needed.

What is asked about commits by their ids never changes, so an answer holds for ever. Several
processes may use one memo; one that cannot be read or written is left out, and made anew.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_ANSWERS = 100_000
_PER_STATEMENT = 500
_BUSY_SECONDS = 2.0


class Memo:
    """Answers by question, in one file; a question names its form, its limits and full ids."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, questions: Sequence[str]) -> dict[str, Any]:
        """Return the answers that are known."""
        answers: dict[str, Any] = {}
        if not questions or not self._path.is_file():
            return answers
        with self._mended(), contextlib.closing(self._open()) as database:
            for start in range(0, len(questions), _PER_STATEMENT):
                some = questions[start : start + _PER_STATEMENT]
                marks = ", ".join("?" * len(some))
                rows = database.execute(
                    f"SELECT question, answer FROM memo WHERE question IN ({marks})",  # noqa: S608 - question marks only
                    some,
                )
                answers |= {question: json.loads(answer) for question, answer in rows}
        return answers

    def remember(self, answers: Mapping[str, Any]) -> None:
        """Keep answers; the oldest half goes when there are too many."""
        if not answers:
            return
        rows = [
            (question, json.dumps(answer, separators=(",", ":")))
            for question, answer in answers.items()
        ]
        with self._mended(), contextlib.closing(self._open()) as database:
            database.executemany(
                "INSERT OR IGNORE INTO memo (question, answer) VALUES (?, ?)", rows
            )
            database.execute(
                "DELETE FROM memo WHERE id <= (SELECT MAX(id) FROM memo) - ?"
                " AND (SELECT COUNT(*) FROM memo) > ?",
                [MOST_ANSWERS // 2, MOST_ANSWERS],
            )
            database.commit()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        # What is lost when the machine stops is found out again.
        database.execute("PRAGMA synchronous = OFF")
        database.execute(
            "CREATE TABLE IF NOT EXISTS memo"
            " (id INTEGER PRIMARY KEY, question TEXT UNIQUE, answer TEXT)"
        )
        return database

    @contextlib.contextmanager
    def _mended(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError:
            return  # busy, or the disk is full: then nothing is remembered
        except (sqlite3.DatabaseError, ValueError):
            self._path.unlink(missing_ok=True)  # it is damaged
