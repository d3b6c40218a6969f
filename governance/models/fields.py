"""Column types that both databases must treat alike: code-point text and encrypted text."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from governance.domain.encryption import KeyRing

_CODE_POINT_COLLATIONS = {"postgresql": "C", "sqlite": "BINARY"}


class CodePointTextField(models.TextField):  # type: ignore[type-arg]
    """Text that sorts and compares by code point, whatever the database's locale.

    Branch names and slugs are part of answers whose order is promised; a locale's collation would
    make that order depend on the machine.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        """Return the column's type with the vendor's binary collation."""
        parameters: dict[str, Any] = dict(super().db_parameters(connection))
        parameters["collation"] = _CODE_POINT_COLLATIONS[connection.vendor]
        return parameters


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text encrypted at rest with the newest of `FIELD_ENCRYPTION_KEYS`, readable with any of them.

    The stored form is `v1:<key id>:<token>`. Reading with no fitting key raises
    `governance.domain.encryption.WrongKey`: never a ciphertext in place of a secret.
    """

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """Return the clear text."""
        return None if value is None else key_ring().decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        """Return the encrypted form that goes into the column."""
        return None if value is None else key_ring().encrypt(str(value))


def key_ring() -> KeyRing:
    """Return the key ring of the settings.

    Raises:
        ImproperlyConfigured: no key is set.
    """
    keys: str = settings.FIELD_ENCRYPTION_KEYS
    if not keys:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS is not set: give at least one `<id>:<key>`"
            " (make one with `manage.py field_keys new`)"
        )
    return KeyRing.parse(keys)
