"""The demonstration's own database on a PostgreSQL server, beside that of `DATABASE_URL`.

The demonstration is made anew on every run, so it never touches the database that the address
names: it makes another one there, called like it with `_demo` at the end.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql


@dataclass(frozen=True, slots=True)
class Database:
    """A database that was just made, and its address."""

    name: str
    url: str


def make_database(url: str) -> Database | None:
    """Make the demonstration's database anew; None without a PostgreSQL: SQLite does.

    Raises:
        SystemExit: the server does not answer, or the account may not make databases.
    """
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres"):
        return None
    name = f"{unquote(parts.path.strip('/')) or 'reconciler'}_demo"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=30) as server:
            identifier = sql.Identifier(name)
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
            server.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise SystemExit(
            f"The demonstration needs a database of its own, {name}, on the PostgreSQL of"
            f" DATABASE_URL: {reason}. Its account must be allowed to make databases"
            " (ALTER ROLE ... CREATEDB); without DATABASE_URL the demonstration uses SQLite."
        ) from error
    return Database(name, urlunsplit(parts._replace(path=f"/{quote(name)}")))
