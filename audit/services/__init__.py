"""What others may ask of the trail: append to it, and verify it."""

from audit.services.appending import NotInTransaction, append, append_one
from audit.services.verifying import BeyondHead, Verification, verify, verify_stretch

__all__ = [
    "BeyondHead",
    "NotInTransaction",
    "Verification",
    "append",
    "append_one",
    "verify",
    "verify_stretch",
]
