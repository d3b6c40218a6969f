"""What admin pages of the trail share: nobody changes anything, and everybody sees only theirs."""

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from audit.domain.caller import NOBODY, Caller

MOST_ROWS_COUNTED = 1000
SITE = "(site)"  # the trail of the site itself; no tenant can be called so


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to a thousand and no further: counting a million rows would be the page's cost."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, at most `MOST_ROWS_COUNTED`."""
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_ROWS_COUNTED].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows to people with the scope `audit`; superusers included, nobody may change any."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table once per choice
    list_per_page = 50

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those see it who may read the trail over the API."""
        return caller_of(request).has_scope("audit")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to the same people."""
        return caller_of(request).has_scope("audit")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: entries are appended by acts, not by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the trail is append-only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the trail is append-only."""
        return False


def caller_of(request: HttpRequest) -> Caller:
    """Return what the logged-in person may see.

    Who that is, an app above us knows: `AUDIT_CALLER_OF_USER` names its function. Asked once per
    request, because the admin asks for permissions many times.
    """
    known = getattr(request, "_audit_caller", None)
    if known is None:
        user = request.user
        caller_of_user = import_string(settings.AUDIT_CALLER_OF_USER)
        known = caller_of_user(user) if user.is_active and user.is_staff else NOBODY
        request._audit_caller = known  # type: ignore[attr-defined]
    return cast(Caller, known)
