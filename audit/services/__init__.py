"""What others may ask of the trail: append to it, and verify it."""

from audit.services.appending import NotInTransaction, append, append_one
from audit.services.verifying import (
    BeyondHead,
    Report,
    Verification,
    verify,
    verify_chains,
    verify_stretch,
)

__all__ = [
    "BeyondHead",
    "NotInTransaction",
    "Report",
    "Verification",
    "append",
    "append_one",
    "verify",
    "verify_chains",
    "verify_stretch",
]
