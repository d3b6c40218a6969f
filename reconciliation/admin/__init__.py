"""The admin's pages of the reconciliation loop: to read, and to acknowledge alerts."""

from reconciliation.admin import circuits, deliveries, findings, sweeps, tasks, wakeups

__all__ = ["circuits", "deliveries", "findings", "sweeps", "tasks", "wakeups"]
