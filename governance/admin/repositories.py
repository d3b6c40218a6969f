"""Records of repositories, branches, pull requests and gate results; to read."""

from django.contrib import admin
from django.urls import reverse

from governance.admin.scoped import ScopedAdmin, TenantFilter, page_link
from governance.models import Branch, GateResult, PullRequest, Repository


@admin.register(Repository)
class RepositoryAdmin(ScopedAdmin):
    """Repositories, with a link to their page."""

    tenant_path = "tenant__slug"
    list_display = (
        "slug",
        "tenant",
        "workspace",
        "host_kind",
        "heads_count",
        "observed_at",
        "is_active",
        "page",
    )
    list_filter = (TenantFilter, "host_kind", "is_active")
    list_select_related = ("tenant", "workspace__tenant")
    search_fields = ("slug", "full_name", "host_repository_id__exact")
    search_help_text = "Part of a name, or the host's exact id."
    ordering = ("tenant__slug", "slug")

    def view_on_site(self, row: Repository) -> str:
        """Return the page of the product."""
        return reverse("pages:repository", args=(row.tenant.slug, row.slug))

    @admin.display(description="page")
    def page(self, row: Repository) -> str:
        """Return a link to it."""
        return page_link(self.view_on_site(row))


@admin.register(Branch)
class BranchAdmin(ScopedAdmin):
    """Branches with their two heads."""

    list_display = (
        "name",
        "repository",
        "branch_class",
        "governed",
        "observed",
        "observed_at",
        "announced_by",
        "page",
    )
    list_filter = (TenantFilter, "branch_class", "announced_by")
    list_select_related = ("repository__tenant",)
    search_fields = ("name", "governed_head__exact", "observed_head__exact")
    search_help_text = "Part of a name, or a whole commit id."

    def view_on_site(self, row: Branch) -> str:
        """Return the page of the product."""
        repository = row.repository
        return reverse("pages:branch", args=(repository.tenant.slug, repository.slug, row.name))

    @admin.display(description="page")
    def page(self, row: Branch) -> str:
        """Return a link to it."""
        return page_link(self.view_on_site(row))

    @admin.display(description="governed head")
    def governed(self, row: Branch) -> str:
        """Return its first ten digits."""
        return (row.governed_head or "none")[:10]

    @admin.display(description="observed head")
    def observed(self, row: Branch) -> str:
        """Return its first ten digits."""
        return (row.observed_head or "none")[:10]


@admin.register(PullRequest)
class PullRequestAdmin(ScopedAdmin):
    """Pull requests as the host last announced them."""

    list_display = (
        "number",
        "repository",
        "title",
        "state",
        "head_branch",
        "base_branch",
        "seen_at",
    )
    list_filter = (TenantFilter, "state", "from_fork")
    list_select_related = ("repository",)
    search_fields = ("number__exact", "title", "head_branch")


@admin.register(GateResult)
class GateResultAdmin(ScopedAdmin):
    """The newest result of each gate at each commit."""

    list_display = ("context", "state", "sha", "repository", "seen_at")
    list_filter = (TenantFilter,)
    list_select_related = ("repository",)
    search_fields = ("sha__exact", "context")
