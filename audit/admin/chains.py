"""The admin's list of chains, one per tenant, and verifying them from there."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.admin.read_only import SITE, ReadOnlyAdmin, caller_of
from audit.models import ChainHead
from audit.selectors import visible_chains
from audit.services import Verification, verify_chains

# About two seconds of work; longer chains are for the command, which has no one waiting.
MOST_ENTRIES_CHECKED = 50_000


@admin.register(ChainHead)
class ChainAdmin(ReadOnlyAdmin):
    """Heads of chains: how long each is, and the hash to compare with one kept elsewhere."""

    list_display = ("whose", "seq", "hash")
    list_display_links = None
    sortable_by = ()
    actions = ("verify",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return what the person may see."""
        return visible_chains(caller_of(request))

    @admin.display(description="tenant")
    def whose(self, head: ChainHead) -> str:
        """Return the tenant, or that it is the site's own trail."""
        return head.tenant or SITE

    def action_checkbox(self, obj: ChainHead) -> SafeString:
        """Return the box that selects a chain; browsers send no empty value for the site's own."""
        label = f"Select {self.whose(obj)}"
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            self.whose(obj),
            label,
        )

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run the action on the chains selected, the site's own by its empty tenant."""
        sent: Any = request.POST.copy()
        chosen = [("" if name == SITE else name) for name in sent.getlist(ACTION_CHECKBOX_NAME)]
        sent.setlist(ACTION_CHECKBOX_NAME, chosen)
        request.POST = sent
        return super().response_action(request, queryset, *args, **kwargs)

    @admin.action(description="Verify selected chains", permissions=["view"])
    def verify(self, request: HttpRequest, queryset: QuerySet[ChainHead]) -> None:
        """Recompute the chosen chains and tell how each of them stands."""
        tenants = sorted(queryset.values_list("tenant", flat=True))
        report = verify_chains(tenants, at_most=MOST_ENTRIES_CHECKED)
        for chain in report.chains:
            level, text = _verdict(chain)
            self.message_user(request, text, level)
        if report.not_reached:
            left = ", ".join(report.not_reached)
            text = f"Not looked at: {left}. `manage.py audit_verify` checks all."
            self.message_user(request, text, messages.WARNING)


def _verdict(chain: Verification) -> tuple[int, str]:
    name = chain.tenant or SITE
    if chain.broken is not None:
        broken = chain.broken
        return messages.ERROR, f"{name}: BROKEN at entry {broken.seq}: {broken.problem}."
    if not chain.is_complete:
        text = f"{name}: the first {chain.reached.seq} of {chain.head.seq} entries hold."
        return messages.WARNING, f"{text} `manage.py audit_verify` checks all."
    return messages.SUCCESS, f"{name}: intact, {chain.head.seq} entries."
