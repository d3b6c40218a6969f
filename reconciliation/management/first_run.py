"""What a site needs before its first request: a schema, static files, somebody who can log in."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from audit.domain.entries import RECONCILER, Entry
from audit.services import append_one

ADMIN = "admin"


def missing_migrations() -> list[str]:
    """Return the migrations that the database lacks, in the order they will be applied.

    Raises:
        CommandError: the database does not answer.
    """
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise CommandError(f"The database does not answer: {error}") from error
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def bring_schema_up_to_date(*, may_migrate: bool) -> int:
    """Apply missing migrations and return how many there were.

    Raises:
        CommandError: some are missing and we were not allowed to apply them.
    """
    missing = missing_migrations()
    if missing and not may_migrate:
        raise CommandError(
            f"The database lacks {len(missing)} migrations, first {missing[0]}: start with"
            " --migrate, or run `manage.py migrate` first."
        )
    if missing:
        call_command("migrate", interactive=False, verbosity=0)
    return len(missing)


def prepare_folder_of_embedded_database() -> None:
    """Make the folder that the SQLite file will lie in."""
    name = settings.DATABASES["default"]["NAME"]
    if connection.vendor == "sqlite" and not str(name).startswith("file:"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)


def collect_static_files_if_outdated() -> bool:
    """Collect static files where they are served from a copy older than the originals."""
    if not settings.STATIC_ROOT:
        return False
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    collected_at = stamp.stat().st_mtime if stamp.exists() else 0.0
    if _newest_static_file() <= collected_at:
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.touch()
    return True


def create_admin_if_nobody_can_log_in(
    *, make_password: Callable[[], str], correlation_id: str, now: datetime
) -> str | None:
    """Create the login `admin` when there is no superuser; return its password, else None.

    The password is in no log and no table, so whoever calls this must show it.
    """
    users: Any = get_user_model()._default_manager
    with transaction.atomic():
        if users.filter(is_superuser=True).exists():
            return None
        password = make_password()
        users.create_superuser(ADMIN, password=password)
        append_one(
            Entry(
                tenant="",
                at=now,
                actor=RECONCILER,
                action="login.create_first_admin",
                object_kind="user",
                object_id=ADMIN,
                correlation_id=correlation_id,
                reason="nobody could log in",
            )
        )
    return password


def _newest_static_file() -> float:
    newest = 0.0
    for finder in get_finders():
        for path, storage in finder.list([]):
            newest = max(newest, Path(storage.path(path)).stat().st_mtime)
    return newest
