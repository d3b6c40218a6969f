"""Who is governed and who may look: tenants, workspaces, memberships."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from governance.models.fields import CodePointTextField

SLUG = RegexValidator(
    r"\A[a-z0-9][a-z0-9._-]{0,99}\Z",
    "Use 1-100 lower-case letters, digits, dots, dashes or underscores; start with a letter or"
    " digit.",
)


class Tenant(models.Model):
    """An isolation boundary: nothing of one tenant is ever shown to, or changed by, another."""

    slug = CodePointTextField(unique=True, validators=[SLUG])
    name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return str(self.slug)


class Workspace(models.Model):
    """A Reach workspace: repositories governed under one manifest."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="workspaces")
    slug = CodePointTextField(validators=[SLUG])
    name = models.CharField(max_length=200, blank=True)
    manifest = models.JSONField(
        default=dict, blank=True, help_text="The workspace manifest as imported."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("tenant__slug", "slug")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "slug"), name="workspace_slug_per_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.slug}"


class Role(models.TextChoices):
    """What a member of a tenant may do; each role includes the ones before it."""

    VIEWER = "viewer", "Viewer: reads"
    OPERATOR = "operator", "Operator: acknowledges alerts, requeues dead letters"
    ADMIN = "admin", "Governance admin: breaks leases, accepts snapshots, publishes policies"


class Membership(models.Model):
    """A person's place in a tenant. Superusers see every tenant without one."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        ordering = ("tenant__slug", "user_id")
        constraints = (
            models.UniqueConstraint(fields=("user", "tenant"), name="one_membership_per_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"


class Alias(models.Model):
    """A name of a person or bot, joined to the one they are known by in the tenant.

    Host logins, e-mail addresses, actors of runs and agents of leases are all names. An alias leads
    one step: `identity` is no alias itself. A name belongs to one identity of a tenant, and to
    another one, or to none, in another tenant.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="aliases")
    name = CodePointTextField(help_text="Exactly as the host or the engine writes it.")
    identity = CodePointTextField(help_text="The name that the person or bot is known by.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("tenant__slug", "identity", "name")
        verbose_name_plural = "aliases"
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="alias_name_once"),
            models.CheckConstraint(
                condition=~models.Q(name=models.F("identity")), name="alias_of_another_name"
            ),
            models.CheckConstraint(
                condition=~models.Q(name="") & ~models.Q(identity=""), name="alias_names_somebody"
            ),
        )
        indexes = (models.Index(fields=("tenant", "identity"), name="aliases_of_identity"),)

    def __str__(self) -> str:
        return f"{self.name} is {self.identity}"
