"""The wake-up engine's own tables, to read only, for superusers.

Whoever may edit `Schedule.func` may run any dotted path in a worker, so nobody edits it here. Its
payloads are pickles: these pages never open one.
"""

import django_q.admin  # noqa: F401 - registers its own pages, which these replace
from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from governance.admin.scoped import ScopedAdmin

for model in (Failure, OrmQ, Schedule, Success):
    admin.site.unregister(model)


class WakeUpAdmin(ScopedAdmin):
    """A table of the engine: of no tenant, so only who sees every tenant reads it."""

    tenant_path = ""


@admin.register(Schedule)
class ScheduleAdmin(WakeUpAdmin):
    """What wakes us every minute."""

    fields = ("name", "func", "schedule_type", "minutes", "cron", "next_run", "repeats")
    list_display = ("id", "name", "func", "schedule_type", "minutes", "next_run")


@admin.register(OrmQ)
class OrmQAdmin(WakeUpAdmin):
    """Wake-ups that wait."""

    fields = ("key", "lock")
    list_display = ("id", "key", "lock")


@admin.register(Success, Failure)
class EndedAdmin(WakeUpAdmin):
    """Wake-ups that ended, well or badly; results stay closed."""

    fields = ("id", "name", "func", "started", "stopped", "success", "attempt_count")
    list_display = ("name", "func", "started", "stopped", "attempt_count")
    list_filter = ("started",)
    ordering = ("-stopped", "id")
