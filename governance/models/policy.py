"""Policies: immutable versions in layers, and content-addressed effective policies."""

from typing import Any, NoReturn

from django.db import models

from governance.models.repository import Repository
from governance.models.tenancy import Tenant, Workspace


class Layer(models.TextChoices):
    """Where a policy version applies; later layers are more specific."""

    SITE = "site", "Site"
    TENANT = "tenant", "Tenant"
    WORKSPACE = "workspace", "Workspace"
    REPOSITORY = "repository", "Repository"
    BRANCH = "branch", "Branch pattern"


class Immutable(Exception):
    """A policy version was to be changed: publish a new version instead."""


class PolicyVersion(models.Model):
    """One published version of one layer's policy.

    Life: published, never changed; superseded by the next version of the same layer. To roll back,
    publish the old document again.
    """

    layer = models.CharField(max_length=10, choices=Layer.choices)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, null=True, blank=True)
    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, null=True, blank=True)
    branch_pattern = models.CharField(max_length=200, blank=True)
    target = models.CharField(
        max_length=400, help_text="The layer's address, such as `acme/main`; empty for the site."
    )
    version = models.PositiveIntegerField()
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    author = models.CharField(max_length=200)
    approved_by = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="The second person, who is needed to loosen a floor.",
    )
    reason = models.CharField(max_length=500)
    published_at = models.DateTimeField()

    class Meta:
        ordering = ("layer", "target", "-version")
        constraints = (
            models.UniqueConstraint(
                fields=("layer", "target", "branch_pattern", "version"), name="policy_version_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.layer} {self.target or 'site'} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new version; refuse to change a stored one."""
        if self.pk is not None:
            raise Immutable("policy versions are immutable: publish a new one")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: decisions refer to versions for ever."""
        raise Immutable("policy versions are kept: decisions refer to them")


class EffectivePolicy(models.Model):
    """The merged policy that a decision was made under, stored once per content.

    `digest` is the SHA-256 of `document`, its canonical JSON; decisions store the digest, so that
    a replay evaluates under exactly the same rules.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    document = models.TextField()
    first_used_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "effective policies"

    def __str__(self) -> str:
        return self.digest[:12]
