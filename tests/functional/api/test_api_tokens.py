"""API tokens: issued by a command, shown once, good for what they say and no longer."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from audit.services import verify
from governance.models import ApiToken
from tests.conftest import World


def told(*arguments: str) -> Any:
    """Run the command and return its JSON document."""
    out = StringIO()
    call_command("api_token", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def create(*arguments: str) -> Any:
    reach = () if "--tenant" in arguments else ("--all-tenants",)
    return told("create", "--name", "ci", "--scope", "read", *reach, *arguments)


def status_with(token: str) -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get("/api/v1/repositories").status_code


def test_a_token_opens_what_its_scopes_cover_in_its_tenant(tenant_world: World) -> None:
    token = create("--tenant", "acme", "--scope", "runs")["token"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    shown = client.get("/api/v1/repositories").json()["results"]
    refused = client.post("/api/v1/alerts/1/acknowledge", {}, format="json")

    assert [row["tenant"] for row in shown] == ["acme"]
    assert refused.status_code == 403


def test_a_token_is_shown_once_and_stored_nowhere(tenant_world: World) -> None:
    token = create("--tenant", "acme")["token"]

    listed = told("list")

    assert token not in json.dumps(listed)
    assert listed["tokens"][0]["prefix"] == token[:10]
    row = ApiToken.objects.values().get()
    assert token not in str(row)
    assert verify("acme") is None


def test_a_revoked_token_opens_nothing(tenant_world: World) -> None:
    issued = create()
    assert status_with(issued["token"]) == 200

    revoked = told("revoke", str(issued["id"]))

    assert revoked["revoked_at"]
    assert status_with(issued["token"]) == 401


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--name", "ci", "--tenant", "acme"],
        ["create", "--scope", "read", "--tenant", "acme"],
        ["create", "--name", "ci", "--scope", "everything", "--tenant", "acme"],
        ["create", "--name", "ci", "--scope", "read"],
        ["create", "--name", "ci", "--scope", "read", "--tenant", "acme", "--all-tenants"],
        ["create", "--name", "ci", "--scope", "read", "--tenant", "nobody"],
        ["create", "--name", "ci", "--scope", "read", "--tenant", "acme", "--days", "0"],
        ["revoke", "4711"],
        ["revoke"],
    ],
)
def test_a_token_that_cannot_be_is_refused(arguments: list[str], tenant_world: World) -> None:
    with pytest.raises(CommandError):
        told(*arguments)

    assert ApiToken.objects.count() == 0
