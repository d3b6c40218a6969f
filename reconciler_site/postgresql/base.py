"""Django's PostgreSQL backend, except that nothing waits for the server without end.

A server that hangs (stopped, swapping, behind a dead network) keeps its connections open and says
nothing; the kernel goes on acknowledging for it, so no TCP timer notices. Only who waits can give
up. `WAIT_SECONDS` of the settings bounds each statement: the server is told to cancel what takes
longer, and is given up a second later if it does not even do that. Migrations wait as they must.
"""

import time
from types import TracebackType
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.backends.postgresql.schema import DatabaseSchemaEditor

_SECONDS_FOR_CANCELLING = 1.0
SILENT_SECONDS = 2.0
"""For so long after a wait in vain nobody in this process waits again: all would wait in turn."""


class Silence:
    """When this process last waited for the server in vain."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self) -> None:
        """Note that the server did not answer just now."""
        self._until = time.monotonic() + SILENT_SECONDS

    def refuse_to_wait(self) -> None:
        """Raise OperationalError while the silence lasts."""
        if time.monotonic() < self._until:
            raise psycopg.OperationalError("the database did not answer a moment ago")


silence = Silence()


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer a statement in time."""

    wait_seconds: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server.

        Raises:
            OperationalError: it did not answer, or did not a moment ago. The connection is closed.
        """
        if self.wait_seconds is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            silence.refuse_to_wait()
            return super().wait(gen, interval, self.wait_seconds + _SECONDS_FOR_CANCELLING)
        except psycopg.errors._WaitTimeout as error:
            silence.begin()
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the database did not answer within {self.wait_seconds:g} s"
            ) from error
        except psycopg.OperationalError:
            gen.close()
            raise


class _Driver:
    """psycopg as the backend uses it, with connections of ours."""

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)

    @staticmethod
    def connect(**params: Any) -> BoundedConnection:
        """Connect; a server that accepts connections and says nothing counts as silent."""
        silence.refuse_to_wait()
        try:
            return BoundedConnection.connect(**params)
        except psycopg.errors.ConnectionTimeout:
            silence.begin()
            raise


class PatientSchemaEditor(DatabaseSchemaEditor):
    """Changes of the schema take as long as they take."""

    def __enter__(self) -> "PatientSchemaEditor":
        wrapper: Any = self.connection
        wrapper.ensure_connection()
        self._bound: float | None = wrapper.wait_seconds
        wrapper.limit_waits(None)
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        wrapper: Any = self.connection
        try:
            super().__exit__(kind, error, traceback)
        finally:
            wrapper.limit_waits(self._bound)


class DatabaseWrapper(base.DatabaseWrapper):
    """One thread's connection. `wait_seconds` is None where nothing is bounded."""

    Database: Any = _Driver()
    SchemaEditorClass = PatientSchemaEditor

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)
        self.wait_seconds: float | None = settings_dict.get("WAIT_SECONDS") or None

    def init_connection_state(self) -> None:
        """Set the bound on a new connection."""
        super().init_connection_state()
        self.limit_waits(self.wait_seconds)

    def limit_waits(self, seconds: float | None) -> None:
        """Bound every statement of this thread's connection from now on; None sets no bound."""
        self.wait_seconds = seconds
        connection: Any = self.connection
        if connection is None:
            return
        connection.wait_seconds = seconds
        # Behind a pooler the setting would stay with a session that is others' in a moment.
        if not self.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            connection.execute(f"SET statement_timeout = {int((seconds or 0) * 1000)}")
