"""Every idle branch of a repository is decided in one pass, beside however long a history."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.functional.field.shapes import SCRIPTS, connect, days_ago, reconcile, run_script
from tests.git_server import GitServer
from tests.git_worlds import Fate, build_world

pytestmark = pytest.mark.django_db


def stale_decisions(document: dict[str, Any]) -> dict[str, str]:
    return {
        line["branch"]: line["decision"]
        for line in document["decisions"]
        if line["task_kind"] == "stale_branch"
    }


@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the scripts do not lie beside the project")
def test_sixty_idle_branches_beside_two_hundred_commits(server: GitServer) -> None:
    run_script("mkidle.sh", str(server.root / "idle.git"))
    connect(server, "idle")

    decisions = stale_decisions(reconcile("idle"))

    assert {name for name in decisions if name.startswith("idle/")} == {
        f"idle/{number}" for number in range(1, 61)
    }


def test_branches_that_left_long_ago_are_decided_in_one_pass(server: GitServer) -> None:
    folder = server.root / "long.git"
    write_long_history(folder, commits=900, forks=range(20, 620, 50))
    connect(server, "long")

    decisions = stale_decisions(reconcile("long"))

    assert {name: decisions.get(name) for name in decisions if name.startswith("idle/")} == {
        f"idle/{fork}": "recommend_retirement" for fork in range(20, 620, 50)
    }


def test_many_branches_of_every_fate_are_decided_in_one_pass(server: GitServer) -> None:
    world = build_world(server.root / "many.git", commits=150, branches=dict.fromkeys(Fate, 20))
    connect(server, "many")

    decisions = stale_decisions(reconcile("many"))

    assert world.fates.keys() <= decisions.keys()


def write_long_history(folder: Path, *, commits: int, forks: range) -> None:
    """Write main with so many commits, and a branch of one commit at each fork."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
    at = days_ago(200)
    stream = []
    for number in range(1, commits + 1):
        parent = f"from :{number - 1}\n" if number > 1 else ""
        stream.append(
            f"commit refs/heads/main\nmark :{number}\ncommitter a <a@example.org> {at}\n"
            f"data 1\nx\n{parent}M 100644 inline src/f{number % 7}\ndata {len(str(number))}\n"
            f"{number}\n\n"
        )
    stream += [
        f"commit refs/heads/idle/{fork}\ncommitter a <a@example.org> {at}\ndata 1\nx\n"
        f"from :{fork}\nM 100644 inline src/own{fork}\ndata 1\n1\n\n"
        for fork in forks
    ]
    subprocess.run(
        ["git", f"--git-dir={folder}", "fast-import", "--quiet"],
        input="".join(stream).encode(),
        check=True,
    )
