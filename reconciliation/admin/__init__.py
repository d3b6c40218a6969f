"""The admin's pages of the reconciliation loop: to read, and to acknowledge alerts."""

from reconciliation.admin import deliveries, findings, sweeps, tasks, wakeups

__all__ = ["deliveries", "findings", "sweeps", "tasks", "wakeups"]
