"""The hook that ships, run by real git against a real server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from governance.models import Branch, Lease
from tests.conftest import World
from tests.factories.governance import (
    FAR_FUTURE,
    HEAD_A,
    NOON,
    ApiTokenFactory,
    LeaseFactory,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
HOOK = Path(__file__).resolve().parents[3] / "deploy" / "hooks" / "pre-push-lease-check"
TOKEN = "a-secret-of-the-holder-of-this-lease-only"


def git(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone with one commit on `topic`, pushed, and one more that is not."""
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    git(tmp_path, "init", "--bare", str(remote))
    git(tmp_path, "init", "--initial-branch=topic", str(clone))
    git(clone, "remote", "add", "origin", str(remote))
    for name in ("pushed", "src/unpushed naïve"):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text(name, encoding="utf-8")
        git(clone, "add", ".")
        git(clone, "commit", "-m", name)
        if name == "pushed":
            git(clone, "push", "origin", "topic")
    hook = clone / ".git" / "hooks" / "pre-push"
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HOOK}"\n', encoding="utf-8")
    hook.chmod(0o755)
    return clone


@pytest.fixture
def held(tenant_world: World) -> Lease:
    return LeaseFactory.create(
        repository=tenant_world.repository,
        branch="topic",
        lease_id="lease-1",
        holder_token=TOKEN,
        fencing_token=7,
        expires_at=FAR_FUTURE,
        max_expires_at=FAR_FUTURE,
    )


@pytest.fixture
def environment(held: Lease, live_server: LiveServer) -> dict[str, str]:
    ApiTokenFactory.create(clear="rcl_gate", scopes=["leases"], tenant=held.repository.tenant)
    return {
        "RECONCILER_URL": live_server.url,
        "RECONCILER_TOKEN": "rcl_gate",
        "RECONCILER_REPO": "api",
        "RECONCILER_FENCING_TOKEN": "7",
        "RECONCILER_HOLDER_TOKEN": TOKEN,
    }


def push(clone: Path, environment: dict[str, str], *arguments: str) -> tuple[bool, str]:
    done = git(clone, "push", "origin", *(arguments or ("topic",)), **environment)
    return done.returncode == 0, done.stderr


def head_of_remote(clone: Path) -> str:
    return git(clone, "ls-remote", "origin", "refs/heads/topic").stdout[:40]


def test_the_holder_pushes(clone: Path, environment: dict[str, str]) -> None:
    pushed, said = push(clone, environment)

    assert pushed, said
    assert "Lease lease-1 covers this" in said
    assert head_of_remote(clone) == git(clone, "rev-parse", "HEAD").stdout.strip()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"RECONCILER_FENCING_TOKEN": "6"}, "6 is older than 7"),
        ({"RECONCILER_FENCING_TOKEN": ""}, "holds lease lease-1"),
        ({"RECONCILER_HOLDER_TOKEN": TOKEN + "x"}, "not with this holder token"),
        ({"RECONCILER_TOKEN": "rcl_wrong"}, "invalid_token"),
        ({"RECONCILER_REPO": "nowhere"}, "not_found"),
    ],
)
def test_everybody_else_is_stopped_and_told_why(
    clone: Path, environment: dict[str, str], change: dict[str, str], why: str
) -> None:
    before = head_of_remote(clone)

    pushed, said = push(clone, environment | {"RECONCILER_FAIL": "open"} | change)

    assert not pushed
    assert why in said
    assert head_of_remote(clone) == before


@pytest.mark.parametrize(("fail", "pushed"), [("open", True), ("closed", False), ("", False)])
def test_while_nobody_answers_the_declared_policy_decides(
    clone: Path, environment: dict[str, str], fail: str, pushed: bool
) -> None:
    nobody = {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_FAIL": fail}

    done, said = push(clone, environment | nobody)

    assert done is pushed
    assert "no answer" in said


def test_a_hook_that_was_not_set_up_stops_the_push_and_says_what_is_missing(clone: Path) -> None:
    pushed, said = push(clone, {})

    assert not pushed
    assert "url" in said


@pytest.mark.parametrize(("prefix", "pushed"), [("src", True), ("docs", False)])
def test_the_paths_of_a_push_are_compared(
    clone: Path, environment: dict[str, str], held: Lease, prefix: str, pushed: bool
) -> None:
    Lease.objects.update(scope="path-prefix", paths=[prefix])

    done, said = push(clone, environment)

    assert done is pushed, said
    if not pushed:
        assert "does not cover src/unpushed na" in said


def test_the_paths_of_a_new_branch_are_those_that_no_remote_has(
    clone: Path, environment: dict[str, str], held: Lease
) -> None:
    Lease.objects.update(scope="path-prefix", paths=["src"], branch="new")

    done, said = push(clone, environment, "topic:new")

    assert done, said


def test_a_push_onto_a_head_that_was_left_behind_is_stopped(
    clone: Path, environment: dict[str, str], held: Lease
) -> None:
    Branch.objects.create(
        repository=held.repository,
        name="topic",
        observed_head=HEAD_A,
        previous_head=head_of_remote(clone),
        first_seen_at=NOON,
    )

    pushed, said = push(clone, environment)

    assert not pushed
    assert "has moved on" in said


def test_tags_are_nobodys_branch(clone: Path, environment: dict[str, str]) -> None:
    git(clone, "tag", "v1")

    pushed, said = push(clone, environment | {"RECONCILER_FENCING_TOKEN": "1"}, "v1")

    assert pushed, said


@pytest.mark.parametrize(("branch", "passes"), [("topic", True), ("other", False)])
def test_ci_asks_about_its_own_branch(
    environment: dict[str, str], tmp_path: Path, branch: str, passes: bool
) -> None:
    done = subprocess.run(
        [sys.executable, HOOK],
        env={"PATH": os.environ["PATH"], **environment, "RECONCILER_BRANCH": branch},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) is passes, done.stderr


def test_the_hook_needs_nothing_but_the_standard_library_and_fits_on_a_page() -> None:
    lines = HOOK.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 60
    assert os.access(HOOK, os.X_OK)
    imported = [line.split()[1].split(".")[0] for line in lines if line.startswith("import ")]
    assert imported
    assert set(imported) <= sys.stdlib_module_names
