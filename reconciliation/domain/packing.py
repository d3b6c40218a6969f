"""Packs stored facts and decisions: texts of the same few words, three to four times smaller; pure.

A packed text begins with `z1:`, which names its dictionary; what was stored before does not, and is
read as it is. Only the clear text counts: digests are made of it, and replay compares it.
"""

import base64
import zlib

from reconciliation.domain.packing_dictionary import WORDS_1

_PREFIX = "z1:"
_DICTIONARY = WORDS_1.encode()
_RAW_DEFLATE = -14
# Copied for each text: to read the dictionary anew costs several times as much.
_PRIMED = zlib.compressobj(6, zlib.DEFLATED, _RAW_DEFLATE, 7, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)


def packed(text: str) -> str:
    """Return a text as it is stored, printable; the text itself when packing would not help."""
    deflate = _PRIMED.copy()
    data = deflate.compress(text.encode()) + deflate.flush()
    stored = _PREFIX + base64.b64encode(data).decode()
    return stored if len(stored) < len(text) or text.startswith(_PREFIX) else text


def unpacked(stored: str) -> str:
    """Return the text that was stored.

    Raises:
        ValueError: it was changed since; what it said is lost.
    """
    if not stored.startswith(_PREFIX):
        return stored
    inflate = zlib.decompressobj(_RAW_DEFLATE, _DICTIONARY)
    try:
        data = inflate.decompress(base64.b64decode(stored.removeprefix(_PREFIX), validate=True))
    except zlib.error as error:
        raise ValueError(f"a packed text is damaged: {error}") from error
    if not inflate.eof:
        raise ValueError("a packed text is damaged: its end is missing")
    return data.decode()
