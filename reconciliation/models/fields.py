"""A column type for texts that are stored packed and read clear."""

from collections.abc import Sequence
from typing import Any

from django.db import models

from reconciliation.domain.packing import packed, unpacked


class PackedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is packed on its way into the column and unpacked on its way out.

    To the database it is text as any other. It cannot be searched for a part of it. Statements
    that do not go through the ORM pack what they store themselves.
    """

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """Return the clear text."""
        return None if value is None else unpacked(value)

    def get_prep_value(self, value: Any) -> Any:
        """Return the stored form."""
        return None if value is None else packed(str(value))

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Return what migrations know: a text column."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs
