"""`manage.py audit_verify`: what an operator or a nightly job learns from it."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.integration.audit.trail import record, tamper, triggers_off

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and what it printed."""
    out = StringIO()
    try:
        call_command("audit_verify", *arguments, stdout=out)
    except SystemExit as left:
        return int(left.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_an_intact_trail_is_told_chain_by_chain() -> None:
    record(3)
    record(2, tenant="")

    code, said = run()

    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("(site): intact, 2 entries, head ")
    assert lines[1].startswith("acme: intact, 3 entries, head ")
    assert lines[2:] == ["2 chains, 5 good entries, 0 broken"]


def test_an_empty_trail_is_intact() -> None:
    assert run() == (0, "0 chains, 0 good entries, 0 broken\n")


def test_a_break_names_tenant_entry_and_problem_and_the_rest_is_still_verified() -> None:
    record(3)
    record(2, tenant="rival")
    tamper("UPDATE audit_auditentry SET hash = prev_hash WHERE tenant = 'acme' AND seq = 2")

    code, said = run()

    assert code == 1
    assert said.splitlines()[0] == "acme: BROKEN at entry 2: content does not match its hash"
    assert said.splitlines()[1].startswith("rival: intact, 2 entries")
    assert said.splitlines()[2] == "2 chains, 3 good entries, 1 broken"


def test_one_tenant_may_be_asked_for() -> None:
    record(3)
    record(2, tenant="rival")
    tamper("DELETE FROM audit_chainhead WHERE tenant = 'rival'")

    assert run("--tenant", "acme")[0] == 0
    assert run("--tenant", "acme", "--tenant", "rival")[0] == 1


def test_a_tenant_without_a_trail_is_not_called_intact() -> None:
    with pytest.raises(CommandError, match="no trail of 'acne'") as refused:
        call_command("audit_verify", "--tenant", "acne")

    assert refused.value.returncode == 2


def test_programs_get_one_document() -> None:
    links = record(2)
    record(2, tenant="rival")
    tamper("DELETE FROM audit_auditentry WHERE tenant = 'rival' AND seq = 2")

    code, said = run("--json")

    document: dict[str, Any] = json.loads(said)
    assert (code, document["status"], document["missing_triggers"]) == (1, "broken", [])
    assert document["chains"][0] == {
        "tenant": "acme",
        "intact": True,
        "entries": 2,
        "head_seq": 2,
        "head_hash": links[1].hash,
        "broken": None,
    }
    assert document["chains"][1]["broken"] == {
        "tenant": "rival",
        "seq": 2,
        "problem": "entry 2 is missing, the head says 2",
    }


def test_missing_guards_fail_the_verification_of_intact_chains() -> None:
    record(1)

    with triggers_off():
        code, said = run()

    assert code == 1
    assert "UNGUARDED: trigger audit_head_only_forward is missing" in said


def test_the_way_out_for_missing_guards_works() -> None:
    record(2)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("DROP TRIGGER audit_entry_append_only ON audit_auditentry")
        else:
            cursor.execute("DROP TRIGGER audit_entry_no_update")
    assert run()[0] == 1

    call_command("migrate", "audit", "0002", verbosity=0)
    call_command("migrate", "audit", verbosity=0)

    assert run()[0] == 0
