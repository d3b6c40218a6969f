"""One page of an ordered list by keyset: constant cost at any depth; knows no table."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Line = TypeVar("Line")

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[Line]):
    """Some lines in order, and the cursor of the next page: empty when this is the last."""

    lines: tuple[Line, ...]
    after: str
