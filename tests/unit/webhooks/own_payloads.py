"""Loads the payloads we wrote after the hosts' documentation, with what is expected of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind

PAYLOADS = Path(__file__).parents[2] / "payloads"


@dataclass(frozen=True)
class OwnPayload:
    """One request, why it is there, and the announcement it must become."""

    host: HostKind
    name: str
    headers: Headers
    json_body: dict[str, Any]
    is_form: bool
    expected: dict[str, Any]

    @property
    def json_bytes(self) -> bytes:
        return json.dumps(self.json_body, ensure_ascii=False).encode()

    @property
    def body(self) -> bytes:
        if not self.is_form:
            return self.json_bytes
        return urlencode({"payload": self.json_bytes}).encode()


def own_payloads() -> Iterator[OwnPayload]:
    """Give every payload file, in a stable order."""
    for path in sorted(PAYLOADS.glob("*/*.json")):
        stored = json.loads(path.read_text())
        yield OwnPayload(
            host=HostKind(path.parent.name),
            name=f"{path.parent.name}/{path.stem}",
            headers=Headers(stored["headers"].items()),
            json_body=stored["body"],
            is_form=stored.get("form", False),
            expected=stored["expected"],
        )


def without_blanks(value: object) -> object:
    """Leave out what is not said (null, empty lists), so that expectations stay short."""
    if isinstance(value, dict):
        cleaned = {key: without_blanks(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None and item != []}
    if isinstance(value, list):
        return [without_blanks(item) for item in value]
    return value
