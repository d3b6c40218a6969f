"""Importing Reach lease files from the command line."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEntry
from governance.models import Lease, Repository
from governance.services.leases import NotTheHolder, heartbeat_lease
from tests.conftest import World
from tests.factories.governance import CORRELATION_ID, LeaseFactory
from tests.integration.governance.acts import AGENT, RULES, acquire, topic

pytestmark = pytest.mark.django_db
PARENT = Path(__file__).resolve().parents[4] / "shared" / "data" / "reach" / "dgl" / "sccl"


def lease(lease_id: str, *, starts_in: int = -60, ttl: int = 900, **changes: Any) -> dict[str, Any]:
    acquired_at = timezone.now() + timedelta(seconds=starts_in)
    return {
        "lease_id": lease_id,
        "repo_id": "reach",
        "branch": "topic",
        "scope": "branch-level",
        "paths": [],
        "owner": {"user_id": "alice", "device_id": "mac", "agent_id": "cli"},
        "acquired_at": acquired_at.isoformat(),
        "expires_at": (acquired_at + timedelta(seconds=ttl)).isoformat(),
        "ttl_seconds": ttl,
    } | changes


@pytest.fixture
def repository(tenant_world: World) -> Repository:
    return tenant_world.repository


def run(file: Path, *options: str, repository: str = "acme/main/api") -> tuple[int, dict[str, Any]]:
    out, code = io.StringIO(), 0
    try:
        call_command(
            "import_leases", str(file), f"--repository={repository}", "--json", *options, stdout=out
        )
    except SystemExit as ended:
        code = int(ended.code or 0)
    told: dict[str, Any] = json.loads(out.getvalue())
    return code, told


def written(folder: Path, *leases: dict[str, Any]) -> Path:
    file = folder / "leases.json"
    file.write_text(json.dumps({"schema_version": "1.0", "leases": leases}), encoding="utf-8")
    return file


def test_live_and_past_leases_are_stored_as_what_they_are(
    tmp_path: Path, repository: Repository
) -> None:
    file = written(tmp_path, lease("live"), lease("past", starts_in=-5000))

    code, told = run(file)

    assert (code, told["stored"], told["refused"]) == (0, ["past", "live"], [])
    rows = Lease.objects.order_by("fencing_token").values_list("lease_id", "state", "fencing_token")
    assert list(rows) == [("past", "expired", 1), ("live", "held", 2)]
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 2
    assert AuditEntry.objects.filter(action="lease.import").count() == 2


def test_importing_twice_stores_once(tmp_path: Path, repository: Repository) -> None:
    file = written(tmp_path, lease("live"))
    run(file)

    code, told = run(file)

    assert (code, told["stored"], told["known"]) == (0, [], ["live"])
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 1


def test_a_dry_run_tells_the_same_and_stores_nothing(
    tmp_path: Path, repository: Repository
) -> None:
    file = written(tmp_path, lease("live"))

    code, told = run(file, "--dry-run")

    assert (code, told["stored"], told["dry_run"]) == (0, ["live"], True)
    assert (Lease.objects.count(), AuditEntry.objects.count()) == (0, 0)
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 0


def test_leases_that_contradict_one_another_are_reported_and_not_stored(
    tmp_path: Path, repository: Repository
) -> None:
    file = written(tmp_path, lease("a"), lease("b", starts_in=-30), lease("c", branch="other"))

    code, told = run(file)

    assert (code, told["stored"], told["refused"]) == (1, ["c"], ["a", "b"])
    assert [(one["code"], one["lease_ids"]) for one in told["broken"]] == [
        ("two_live_leases", ["a", "b"])
    ]
    assert Lease.objects.get().lease_id == "c"


def test_a_lease_that_is_held_here_wins_over_the_file(
    tmp_path: Path, repository: Repository
) -> None:
    LeaseFactory.create(
        repository=repository, branch="", scope="repo-wide", acquired_at=timezone.now()
    )

    code, told = run(written(tmp_path, lease("live"), lease("past", starts_in=-5000)))

    assert (code, told["stored"], told["refused"]) == (1, ["past"], ["live"])
    assert told["broken"][0]["code"] == "held_here"


def test_the_next_grant_gets_a_higher_fencing_token_than_anything_imported(
    tmp_path: Path, repository: Repository
) -> None:
    run(written(tmp_path, lease("live"), lease("past", starts_in=-5000)))

    assert acquire(repository, "new", claim=topic("other")).fencing_token == 3


def test_an_imported_lease_has_no_holder_token(tmp_path: Path, repository: Repository) -> None:
    run(written(tmp_path, lease("live")))

    with pytest.raises(NotTheHolder):
        heartbeat_lease(
            repository,
            "live",
            token="",
            rules=RULES,
            caller=AGENT,
            correlation_id=CORRELATION_ID,
            now=timezone.now(),
        )


def test_people_get_lines_that_name_what_is_broken(tmp_path: Path, repository: Repository) -> None:
    out = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command(
            "import_leases",
            str(written(tmp_path, lease("a"), lease("b"))),
            "--repository=acme/main/api",
            stdout=out,
        )

    assert ended.value.code == 1
    assert "BROKEN two_live_leases a, b: " in out.getvalue()
    assert out.getvalue().rstrip().endswith("0 stored, 0 known already, 2 refused")


@pytest.mark.parametrize(
    ("content", "repository_path"),
    [
        ('{"leases": []}', "acme/main/nowhere"),
        ('{"leases": []}', "acme"),
        ('{"leases": 7}', "acme/main/api"),
        ("no json", "acme/main/api"),
    ],
)
def test_what_cannot_be_imported_at_all_ends_with_2(
    tmp_path: Path, repository: Repository, content: str, repository_path: str
) -> None:
    file = tmp_path / "leases.json"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(CommandError) as refused:
        call_command("import_leases", str(file), f"--repository={repository_path}")

    assert refused.value.returncode == 2


def test_a_file_that_is_not_there_ends_with_2(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(CommandError, match=r"gone\.json: No such file"):
        call_command("import_leases", str(tmp_path / "gone.json"), "--repository=acme/main/api")


@pytest.mark.skipif(not PARENT.exists(), reason="the parent project's files are not here")
@pytest.mark.parametrize("name", ["leases.json", "fixtures/lease-conflict.json"])
def test_the_parents_own_files_break_their_own_rule(repository: Repository, name: str) -> None:
    code, told = run(PARENT / name)

    broken = [(one["code"], one["lease_ids"]) for one in told["broken"] if one["stops"]]
    assert broken == [("two_live_leases", ["lease_a", "lease_b"])]
    assert (code, told["stored"]) == (1, [])
    assert Lease.objects.count() == 0
