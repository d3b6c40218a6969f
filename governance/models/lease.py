"""Leases: who may write a branch now, until when, with which fencing token."""

from django.db import models
from django.db.models import Q

from governance.models.fields import CodePointTextField
from governance.models.repository import Repository


class LeaseScope(models.TextChoices):
    """How much of a repository a lease covers."""

    REPO_WIDE = "repo-wide", "Whole repository"
    BRANCH_LEVEL = "branch-level", "One branch"
    PATH_PREFIX = "path-prefix", "Paths on one branch"


class LeaseState(models.TextChoices):
    """The life of a lease."""

    HELD = "held", "Held"
    RELEASED = "released", "Released by its holder"
    EXPIRED = "expired", "Expired"
    BROKEN = "broken", "Broken by an admin"


class Lease(models.Model):
    """A lease on a repository, a branch, or paths of a branch.

    Life: held -> released (holder) | expired (reconciler, no proof of life) | broken (admin, with
    reason). A held lease may be renewed: `expires_at` moves, the fencing token does not. Every
    grant raises the repository's `last_fencing_token`. Two live leases on one branch, or on one
    whole repository, are refused by the database; overlaps of different scopes are refused while
    the repository row is locked.
    """

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="leases")
    lease_id = models.CharField(max_length=100)
    scope = models.CharField(max_length=20, choices=LeaseScope.choices)
    branch = CodePointTextField(blank=True, help_text="Empty for a repo-wide lease.")
    paths = models.JSONField(default=list, blank=True)
    user_id = models.CharField(max_length=200)
    device_id = models.CharField(max_length=200, blank=True)
    agent_id = models.CharField(max_length=200, blank=True)
    run_id = models.CharField(max_length=100, blank=True)
    fencing_token = models.BigIntegerField()
    token_digest = models.CharField(max_length=64, help_text="SHA-256 of the holder's token.")
    ttl_seconds = models.PositiveIntegerField(default=900)
    acquired_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    max_expires_at = models.DateTimeField(help_text="The total-life cap: no renewal beyond it.")
    last_heartbeat_at = models.DateTimeField()
    renewals = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=LeaseState.choices, default=LeaseState.HELD)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=500, blank=True)
    correlation_id = models.CharField(max_length=64)

    class Meta:
        ordering = ("-acquired_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("repository", "lease_id"), name="lease_id_once"),
            models.UniqueConstraint(
                fields=("repository", "branch"),
                condition=Q(state="held", scope="branch-level"),
                name="one_live_lease_per_branch",
            ),
            models.UniqueConstraint(
                fields=("repository",),
                condition=Q(state="held", scope="repo-wide"),
                name="one_live_lease_per_repository",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__lte=models.F("max_expires_at")),
                name="lease_within_life_cap",
            ),
        )
        indexes = (
            # Sweep: live leases by expiry.
            models.Index(
                fields=("expires_at", "id"), name="lease_expiring", condition=Q(state="held")
            ),
            # Conflicts, lock-delay and facts of a branch.
            models.Index(fields=("repository", "branch", "state"), name="lease_of_branch"),
        )

    def __str__(self) -> str:
        return self.lease_id
