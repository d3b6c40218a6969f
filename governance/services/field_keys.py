"""Moves encrypted columns to the newest key, all in one transaction or not at all."""

from collections.abc import Iterator, Sequence

from django.db import connection, models, transaction

from governance.models import RemoteCredential
from governance.models.fields import EncryptedTextField, key_ring

Models = Sequence[type[models.Model]]


def newest_key_id() -> str:
    """Return the id of the key that encrypts now."""
    return key_ring().newest_id


def free_key_id() -> str:
    """Return an id that no key of the ring has: `k` and a number, above those that are taken."""
    numbers = [int(name[1:]) for name, _ in key_ring().keys if name[1:].isdecimal()]
    return f"k{max(numbers, default=len(key_ring().keys)) + 1}"


def stored_under(others: Models) -> Iterator[str]:
    """Yield the key id of every stored secret; `others` are models of apps above this one."""
    for _, _, stored in _stored(others):
        yield stored.split(":", 2)[1] if stored.startswith("v1:") else "?"


@transaction.atomic
def rotate_to_newest(others: Models) -> int:
    """Encrypt every secret that is under an older key with the newest; return how many.

    Raises:
        WrongKey: a secret whose key is not in the ring; nothing is changed then.
    """
    ring = key_ring()
    moved = 0
    for column, pk, stored in list(_stored(others)):
        if ring.is_current(stored):
            continue
        table, name = column
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET {name} = %s WHERE id = %s",
                [ring.encrypt(ring.decrypt(stored)), pk],
            )
        moved += 1
    return moved


def _stored(others: Models) -> Iterator[tuple[tuple[str, str], int, str]]:
    encrypting: list[type[models.Model]] = [RemoteCredential, *others]
    for model in encrypting:
        for field in model._meta.concrete_fields:
            if not isinstance(field, EncryptedTextField):
                continue
            table, name = model._meta.db_table, str(field.column)
            with connection.cursor() as cursor:
                # Raw: through the field one would get the clear text.
                cursor.execute(f"SELECT id, {name} FROM {table} ORDER BY id")
                for pk, stored in cursor.fetchall():
                    yield (table, name), pk, stored
