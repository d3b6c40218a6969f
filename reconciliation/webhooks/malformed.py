"""Says that a body cannot be trusted to mean what it seems to; carries no part of the body."""

from typing import Final

MAX_DETAIL_LENGTH: Final = 250


class MalformedBody(Exception):
    """A verified request whose body breaks its host's own contract.

    `code` is stable and safe to count by, `where` is a JSON pointer into the body ("" = the whole
    body), `detail` is for people. The sender, or a proxy that rewrites bodies, has to be mended;
    until then the sweep reads what the delivery failed to say.
    """

    def __init__(self, code: str, detail: str, *, where: str = "") -> None:
        super().__init__(f"{code} at {where or '/'}: {detail}"[:MAX_DETAIL_LENGTH])
        self.code = code
        self.detail = detail
        self.where = where
