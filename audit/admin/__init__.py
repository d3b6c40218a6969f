"""The trail in the admin site: looked at, searched and verified, never changed."""

from audit.admin.chains import ChainAdmin
from audit.admin.entries import EntryAdmin

__all__ = ["ChainAdmin", "EntryAdmin"]
