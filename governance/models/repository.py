"""What is governed: repositories, their branches, their pull requests."""

from django.db import models

from governance.models.credential import RemoteCredential
from governance.models.fields import CodePointTextField
from governance.models.tenancy import SLUG, Tenant, Workspace


class HostKind(models.TextChoices):
    """The kinds of git host whose webhooks we understand."""

    GITHUB = "github", "GitHub"
    GITLAB = "gitlab", "GitLab"
    GITEA = "gitea", "Gitea"
    FORGEJO = "forgejo", "Forgejo"
    GOGS = "gogs", "Gogs"
    BITBUCKET = "bitbucket", "Bitbucket Cloud"
    BITBUCKET_DC = "bitbucket_dc", "Bitbucket Data Center"
    AZURE = "azure", "Azure DevOps"
    GENERIC = "generic", "Generic (Standard Webhooks)"


class Repository(models.Model):
    """One remote under governance. Its slug is unique in its tenant: (tenant, repo) names it.

    The host's stable id, not its name, is its identity on the host: a rename keeps the history.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="repositories")
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="repositories")
    slug = CodePointTextField(validators=[SLUG])
    host_kind = models.CharField(max_length=20, choices=HostKind.choices, default=HostKind.GENERIC)
    host_repository_id = models.CharField(max_length=100, blank=True)
    full_name = models.CharField(max_length=300, blank=True)
    clone_url = models.CharField(max_length=1000)
    web_url = models.CharField(max_length=1000, blank=True)
    default_branch = models.TextField(blank=True, help_text="Where HEAD points now.")
    governed_default_branch = models.TextField(
        blank=True,
        db_default="",
        help_text="The default branch that governance last accepted; empty: none was known yet.",
    )
    credential = models.ForeignKey(
        RemoteCredential, on_delete=models.PROTECT, null=True, blank=True
    )
    is_active = models.BooleanField(default=True, help_text="Off: kept, but no longer reconciled.")
    connected_at = models.DateTimeField()
    observed_at = models.DateTimeField(
        null=True, blank=True, help_text="When all heads were last read."
    )
    heads_digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 over the heads: equal means nothing moved."
    )
    heads_count = models.PositiveIntegerField(default=0)
    last_fencing_token = models.BigIntegerField(
        default=0, help_text="Raised on every lease grant, never on renewal."
    )

    class Meta:
        ordering = ("tenant__slug", "slug")
        verbose_name_plural = "repositories"
        constraints = (
            models.UniqueConstraint(fields=("tenant", "slug"), name="repository_slug_per_tenant"),
        )
        indexes = (
            # Webhook events find their repository by the host's stable id.
            models.Index(
                fields=("tenant", "host_kind", "host_repository_id"), name="repository_by_host_id"
            ),
        )

    def __str__(self) -> str:
        return str(self.slug)


class BranchClass(models.TextChoices):
    """How much a branch matters; decided by policy patterns and the default branch."""

    DEFAULT = "default", "Default"
    PROTECTED = "protected", "Protected"
    GOVERNED = "governed", "Governed"
    OTHER = "other", "Other"


class AnnouncedBy(models.TextChoices):
    """What first told us of the observed head."""

    WEBHOOK = "webhook", "Webhook"
    SWEEP = "sweep", "Sweep"
    MANUAL = "manual", "Manual"


class Branch(models.Model):
    """A branch with its two heads: the governed snapshot and the observed remote head.

    Life of the observed head: unseen (NULL) -> present -> gone (NULL, `gone_at` set) -> present
    again (`recreated`). `head_changes` counts those steps; it makes `before..after` unique even
    when a branch swings back and forth. The governed head moves only by a run record or a person.
    """

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="branches")
    name = CodePointTextField()
    branch_class = models.CharField(
        max_length=10,
        choices=BranchClass.choices,
        default=BranchClass.OTHER,
        help_text="While the heads differ, at least the one it had when they last agreed.",
    )
    governed_head = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    governed_at = models.DateTimeField(null=True, blank=True)
    governed_by = models.CharField(
        max_length=200,
        blank=True,
        help_text="run:<id>, pull_request:<number>, update:<branch>, user:<name> or connect",
    )
    observed_head = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    observed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the observed head was first seen at this value."
    )
    announced_by = models.CharField(max_length=10, choices=AnnouncedBy.choices, blank=True)
    previous_head = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    pusher = models.CharField(max_length=200, blank=True, help_text="As the webhook named them.")
    pushes = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Every push since the heads last agreed, oldest first.",
    )
    previous_pusher = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Who pushed the head before."
    )
    previous_observed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the head before was first seen."
    )
    head_changes = models.PositiveIntegerField(default=0)
    gone_at = models.DateTimeField(null=True, blank=True)
    first_seen_at = models.DateTimeField()
    last_activity_at = models.DateTimeField(
        null=True, blank=True, help_text="Commit date of the head, or when it last moved, if later."
    )

    class Meta:
        ordering = ("repository", "name")
        verbose_name_plural = "branches"
        constraints = (
            models.UniqueConstraint(fields=("repository", "name"), name="branch_name_once"),
        )
        indexes = (
            # Stale sweep: idle branches that still exist.
            models.Index(
                fields=("last_activity_at", "repository"),
                name="branch_idle",
                condition=models.Q(observed_head__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return str(self.name)


class PullRequestState(models.TextChoices):
    """The life of a pull request on its host."""

    OPEN = "open", "Open"
    CLOSED = "closed", "Closed without merge"
    MERGED = "merged", "Merged"


class PullRequest(models.Model):
    """A pull (or merge) request as the host last announced it."""

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="pull_requests"
    )
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=300, blank=True)
    author = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=PullRequestState.choices)
    head_branch = CodePointTextField(blank=True)
    head_sha = models.CharField(max_length=64, blank=True)
    head_repository = models.CharField(max_length=300, blank=True)
    from_fork = models.BooleanField(default=False)
    base_branch = CodePointTextField(blank=True)
    base_sha = models.CharField(max_length=64, blank=True)
    merge_sha = models.CharField(max_length=64, blank=True)
    merged_at = models.DateTimeField(null=True, blank=True)
    labels = models.JSONField(default=list, blank=True)
    host_updated_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("repository", "-number")
        constraints = (
            models.UniqueConstraint(fields=("repository", "number"), name="pull_request_once"),
        )
        indexes = (
            # Facts of a branch: pull requests from it and onto it.
            models.Index(fields=("repository", "head_branch"), name="pull_request_from"),
            models.Index(fields=("repository", "base_branch"), name="pull_request_onto"),
        )

    def __str__(self) -> str:
        return f"#{self.number}"


class GateResult(models.Model):
    """The newest result of one gate (status context) at one commit, as the host announced it."""

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="gates")
    sha = models.CharField(max_length=64)
    context = models.CharField(max_length=200)
    state = models.CharField(max_length=20)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("repository", "sha", "context")
        constraints = (
            models.UniqueConstraint(
                fields=("repository", "sha", "context"), name="gate_result_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.context} {self.state}"
