"""Truth tables as text: one line for each combination, read by the tests of the rules."""

from collections.abc import Iterator


def rows_of(table: str) -> Iterator[list[str]]:
    """Yield the words of each line of a table, without its head."""
    for line in table.strip().splitlines()[1:]:
        yield line.split()
