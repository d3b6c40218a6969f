"""A database that does not answer is no fault of the caller: 503 to come back to, never a 500."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection
from django.test import Client
from psycopg.errors import ReadOnlySqlTransaction

from governance.models import ApiToken
from tests.conftest import World
from tests.factories.governance import api_client

ADDRESSES = ["/api/v1/status", "/api/v1/tasks", "/api/v1/audit/entries", "/api/v1/leases"]


@contextmanager
def failing(error: Exception) -> Iterator[None]:
    """Let every statement fail, as it does when the database is away."""

    def fail(*_: Any) -> Any:
        raise error

    with connection.execute_wrapper(fail):
        yield


def read_only() -> DatabaseError:
    """Return what a standby says that was not promoted: Django calls it an internal error."""
    error = InternalError("cannot execute UPDATE in a read-only transaction")
    error.__cause__ = ReadOnlySqlTransaction()
    return error


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "error",
    [OperationalError("connection refused"), InterfaceError("connection closed"), read_only()],
    ids=["refused", "closed", "standby"],
)
def test_a_bearer_is_asked_to_come_back(
    tenant_world: World, address: str, error: DatabaseError
) -> None:
    client = api_client(["admin"])
    client.raise_request_exception = False
    assert client.get(address).status_code == 200

    with failing(error):
        answer = client.get(address)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["status"]) == ("unavailable", 503)
    assert body["correlation_id"] == answer["X-Correlation-ID"]


def test_a_person_with_a_session_is_asked_to_come_back(tenant_world: World) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("ada"))
    assert client.get("/api/v1/tasks").status_code == 200

    with failing(OperationalError("connection refused")):
        answer = client.get("/api/v1/tasks")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_fault_of_ours_is_still_a_500(tenant_world: World) -> None:
    client = api_client(["admin"])
    client.raise_request_exception = False

    with failing(DatabaseError("no such column")):
        answer = client.get("/api/v1/tasks")

    assert answer.status_code == 500
    assert ApiToken.objects.exists()
