"""Finds PostgreSQL's programs, and an account and a locale to run them with; starts nothing."""

import contextlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ANSWER_DEADLINE_SECONDS = 30.0


class PostgresMissing(RuntimeError):
    """No working `initdb` and `postgres` on this machine: install them or set TEST_DATABASE_URL."""


@dataclass(frozen=True)
class Account:
    """Whom to run the server as; None everywhere means: as we are. Fits subprocess's arguments."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None


def choose_account() -> Account:
    """Return an account PostgreSQL accepts: it refuses root, who drops to postgres or nobody."""
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(user=found.pw_uid, group=found.pw_gid, extra_groups=())
    raise PostgresMissing("PostgreSQL refuses to run as root; make a user postgres or nobody.")


def find_programs(*, account: Account) -> Path:
    """Return the folder of an `initdb` and `postgres` that `account` can run.

    Looks in $PATH first, then where Debian keeps them, newest version first. Raises
    PostgresMissing, saying what to do.
    """
    folders: list[Path] = []
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda folder: _version_of(folder.parent.name), reverse=True)
    for folder in folders:
        # A wrapper in $PATH may need root, a login or a configured cluster: ask both to run.
        if all(_runs(folder / name, account=account) for name in ("initdb", "postgres")):
            return folder
    raise PostgresMissing(
        "No PostgreSQL server programs found in $PATH or /usr/lib/postgresql/*/bin. "
        "On Debian or Ubuntu: apt-get install -y postgresql. "
        "Or set TEST_DATABASE_URL=postgres://user:password@host:port/name to use a running server "
        "(its user must be allowed to create databases)."
    )


def locales_to_try() -> list[tuple[str, list[str]]]:
    """Return names and `initdb` options, best first: one that does not sort by bytes, if there is.

    The product sorts by code point whatever the database's collation; a database that sorts
    otherwise shows any query that forgot.
    """
    # ICU from PostgreSQL 15 on; an older initdb refuses, and the next choice is tried.
    icu = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    choices = [("icu en-US", icu), ("C.UTF-8", ["--locale=C.UTF-8"]), ("C", ["--locale=C"])]
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    if {"en_US.utf8", "en_US.UTF-8"} & set(listed.split()):
        choices.insert(0, ("en_US.UTF-8", ["--locale=en_US.UTF-8"]))
    return choices


def _version_of(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(".") if part.isdigit())


def _runs(program: Path, *, account: Account) -> bool:
    if not program.is_file():
        return False
    try:
        asked = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ANSWER_DEADLINE_SECONDS,
            cwd="/",
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
