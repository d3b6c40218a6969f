"""Encrypting secrets at rest with named keys; reads no settings, stores nothing."""

from dataclasses import dataclass
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken

_FORMAT = "v1"


class WrongKey(Exception):
    """No key of the ring opens this value: restore the key with the id named, or set it anew."""


class BadKeyRing(ValueError):
    """The configured keys cannot be used; the message says which one and why."""


@dataclass(frozen=True, repr=False)
class KeyRing:
    """Keys by id, newest first: the first encrypts, all decrypt."""

    keys: tuple[tuple[str, Fernet], ...]

    @staticmethod
    @lru_cache(maxsize=8)
    def parse(text: str) -> "KeyRing":
        """Return the ring written as `id:key,id:key`, newest first.

        Raises:
            BadKeyRing: an entry without an id, a repeated id, or something that is no Fernet key.
        """
        keys: list[tuple[str, Fernet]] = []
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            key_id, separator, key = part.partition(":")
            if not separator or not key_id.isalnum():
                raise BadKeyRing("each key is written <id>:<key>, the id of letters and digits")
            if key_id in dict(keys):
                raise BadKeyRing(f"key id {key_id} is given twice")
            try:
                keys.append((key_id, Fernet(key)))
            except ValueError as error:
                raise BadKeyRing(f"key {key_id} is not 32 url-safe base64 bytes") from error
        if not keys:
            raise BadKeyRing("no key is given")
        return KeyRing(tuple(keys))

    @property
    def newest_id(self) -> str:
        """The id of the key that encrypts."""
        return self.keys[0][0]

    def encrypt(self, clear: str) -> str:
        """Return `clear` as `v1:<key id>:<token>`."""
        key_id, fernet = self.keys[0]
        return f"{_FORMAT}:{key_id}:{fernet.encrypt(clear.encode()).decode()}"

    def decrypt(self, stored: str) -> str:
        """Return the clear text.

        Raises:
            WrongKey: the key is not in the ring, or the value was altered.
        """
        version, _, rest = stored.partition(":")
        key_id, _, token = rest.partition(":")
        fernet = dict(self.keys).get(key_id)
        if version != _FORMAT or fernet is None:
            raise WrongKey(f"value was encrypted with key {key_id or '?'}, which is not configured")
        try:
            return fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise WrongKey(
                f"key {key_id} does not open this value: wrong key or altered"
            ) from error

    def is_current(self, stored: str) -> bool:
        """Return whether `stored` was encrypted with the newest key."""
        return stored.startswith(f"{_FORMAT}:{self.newest_id}:")
