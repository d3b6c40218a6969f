"""The correlation id, under the name that callers of the trail use; it lives in the foundation."""

from reconciler_site.base.correlation import (
    correlated,
    current_correlation_id,
    is_well_formed,
    new_correlation_id,
)

__all__ = ["correlated", "current_correlation_id", "is_well_formed", "new_correlation_id"]
