"""What a part of the status says: figures, and why it is not as it should be; reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a part is degraded; `since` is when it was last good, where that is known."""

    code: str
    detail: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was read of a part. `as_of` None: the moment of reading."""

    values: Mapping[str, Any]
    reasons: tuple[Reason, ...] = ()
    as_of: datetime | None = None
