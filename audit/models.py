"""Storage of the trail; rows enter only through `audit.services`."""

from typing import Any, NoReturn

from django.db import models


class AppendOnly(Exception):
    """Somebody tried to change or delete an audit entry; nothing was changed."""


class ChainHead(models.Model):
    """The end of one tenant's chain; locked while entries are appended, so chains cannot fork.

    Life: made with the tenant's first entry, only ever moved forward: the database refuses to
    delete it or to move it back, by trigger.
    """

    tenant = models.CharField(max_length=100, primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.tenant} #{self.seq}"


class AuditEntry(models.Model):
    """One link of a tenant's chain.

    Life: appended once, never changed, never deleted: the database refuses UPDATE, DELETE and
    TRUNCATE by trigger. `body` is the exact text the hash covers; the other columns repeat parts
    of it so that people can search, and `audit_verify` checks that they agree.
    """

    # Names that come from outside are of unlimited length: an act must not fail for its record.
    tenant = models.CharField(max_length=100)
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=10)
    actor_name = models.TextField()
    action = models.CharField(max_length=64)
    object_kind = models.CharField(max_length=40)
    object_id = models.TextField()
    outcome = models.CharField(max_length=40)
    workspace = models.CharField(max_length=100, blank=True)
    repo = models.TextField(blank=True)
    branch = models.TextField(blank=True)
    task_kind = models.CharField(max_length=20, blank=True)
    correlation_id = models.CharField(max_length=64)
    policy_version = models.CharField(max_length=64, blank=True)
    body = models.TextField()
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        constraints = (
            # One entry per place: a forked chain is impossible, not merely detected.
            models.UniqueConstraint(fields=("tenant", "seq"), name="audit_one_entry_per_place"),
        )
        indexes = (
            # Trace page and API: everything with one correlation id.
            models.Index(fields=("correlation_id", "id"), name="audit_trace"),
            # Timeline of one object (an alert, a lease), newest first.
            models.Index(fields=("object_kind", "object_id", "-id"), name="audit_of_object"),
            # History of a repository; of a branch, and the admin's search for its name.
            models.Index(fields=("repo", "-id"), name="audit_of_repo"),
            models.Index(fields=("branch", "repo", "-id"), name="audit_of_branch"),
            # Admin and API lists of a tenant by time.
            models.Index(fields=("tenant", "-at", "-id"), name="audit_of_tenant_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.tenant} #{self.seq} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: entries are appended by `audit.services.append`, and never changed."""
        raise AppendOnly("audit entries are appended by audit.services.append only")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the trail is append-only."""
        raise AppendOnly("audit entries cannot be deleted")
