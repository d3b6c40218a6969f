"""Every printed command, run by a real shell with real git, does what it says, whatever the names.

The names are bytes as git has them; each command runs in a clone that has the commits in question.
"""

import os
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from governance.domain.push_commands import safe_push_command
from reconciliation.domain.facts import HeadFacts, StaleFacts
from reconciliation.evaluators.coverage import Coverage
from reconciliation.evaluators.wording import (
    head_drift_wording,
    restore_command,
    retirement_wording,
    sync_command,
)
from tests.functional.field.shapes import (
    BYTES_NAME,
    SCRIPTS,
    Bare,
    connect,
    days_ago,
    git,
    reconcile,
    run_script,
)
from tests.git_server import GitServer
from tests.unit.evaluators.facts import head_facts, place, stale_facts

NAMES = [
    b"plain",
    b"it's",
    b'q"q',
    b"a;touch${IFS}pwned",
    b"$(id>pwned)",
    b"`id`",
    b"a&b|c>d",
    b"!x",
    b"#1",
    b"-dash",
    b"+plus",
    b"%s%n%d",
    b"{a,b}",
    b"a=b",
    b"@",
    "naïve/ünï".encode(),
    "日本/😀".encode(),
    "e\u0301".encode(),
    "right\u202eleft".encode(),
    BYTES_NAME,
    b"\xff\xfe/%41'\xc3",
    b"caf\xe9",
    b"\xb1" + b"7",
]
SHELLS = [shell for shell in ("/bin/dash", "/bin/bash", "/bin/sh") if Path(shell).exists()]
each_name = pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))


def stored(name: bytes) -> str:
    """Return a name as the product writes it."""
    return name.decode("utf-8", "backslashreplace")


class Scene:
    """A bare repository with two histories, and a clone that has both."""

    def __init__(self, folder: Path) -> None:
        self.bare = Bare(folder / "app.git")
        self.first = self.bare.commit(date=days_ago(9), text="first")
        self.governed = self.bare.commit(self.first, date=days_ago(8), text="governed")
        self.other = self.bare.commit(self.first, date=days_ago(7), text="other")
        self.bare.point("main", self.governed)
        self.bare.point("keeps-other", self.other)
        self.clone = folder / "clone"
        git(folder, "clone", "-q", str(self.bare.folder), str(self.clone))

    def heads(self) -> dict[bytes, str]:
        """Return the heads of the bare repository, names in bytes."""
        done = subprocess.run(
            ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"],
            cwd=self.bare.folder,
            capture_output=True,
            check=True,
        )
        lines = (line.partition(b" ") for line in done.stdout.splitlines())
        return {name: oid.decode() for oid, _, name in lines}

    def run(self, command: str, *, shell: str) -> subprocess.CompletedProcess[bytes]:
        """Paste a command into a shell, in the clone."""
        return subprocess.run(
            [shell, "-c", command],
            cwd=self.clone,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "GIT_AUTHOR_NAME": "a",
                "GIT_AUTHOR_EMAIL": "a@example.org",
                "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a@example.org",
            },
            capture_output=True,
            check=False,
        )

    def must_run(self, command: str, *, shell: str) -> None:
        """Run a command that has to succeed and to leave nothing else behind."""
        done = self.run(command, shell=shell)
        assert done.returncode == 0, (command, done.stderr)
        assert not (self.clone / "pwned").exists()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def drift_of(scene: Scene, name: bytes, observed: str | None, relation: str) -> HeadFacts:
    return head_facts(
        place=place(stored(name)),
        governed_head=scene.governed,
        observed_head=observed,
        relation=relation,
    )


@pytest.mark.parametrize("shell", SHELLS)
@each_name
def test_commands_about_a_head_do_what_they_say(scene: Scene, name: bytes, shell: str) -> None:
    for drift_class, observed, relation in (
        ("rewritten", scene.other, "diverged"),
        ("rewound", scene.first, "descendant"),
        ("deleted", None, ""),
    ):
        if observed is None:
            git(scene.bare.folder, "update-ref", "-d", b"refs/heads/" + name)
        else:
            scene.bare.point(name, observed)
        words = head_drift_wording(
            drift_of(scene, name, observed, relation), drift_class, coverage=Coverage()
        )

        scene.must_run(words.command, shell=shell)

        assert scene.heads()[name] == scene.governed, drift_class


@pytest.mark.parametrize("shell", SHELLS)
@each_name
def test_commands_about_an_idle_branch_do_what_they_say(
    scene: Scene, name: bytes, shell: str
) -> None:
    scene.bare.point(name, scene.other)
    facts: StaleFacts = stale_facts(
        place=place(stored(name)), observed_head=scene.other, idle=timedelta(days=200)
    )

    scene.must_run(retirement_wording(facts, idle_days=200, notice_days=0).command, shell=shell)
    assert name not in scene.heads()
    scene.must_run(restore_command(stored(name), scene.other), shell=shell)
    assert scene.heads()[name] == scene.other


@pytest.mark.parametrize("shell", SHELLS)
@each_name
def test_a_clone_that_is_behind_can_follow_what_is_printed(
    scene: Scene, name: bytes, shell: str
) -> None:
    newer = scene.bare.commit(scene.governed, date=days_ago(1), text="newer")
    scene.bare.point(name, newer)
    facts = drift_of(scene, name, newer, "ancestor")

    scene.must_run(
        head_drift_wording(facts, "fast_forward", coverage=Coverage()).command, shell=shell
    )
    scene.must_run(sync_command(stored(name)), shell=shell)

    assert git(scene.clone, "rev-parse", "HEAD") == newer


@pytest.mark.parametrize("shell", SHELLS)
@each_name
def test_the_safe_push_pushes(scene: Scene, name: bytes, shell: str) -> None:
    for remote_sha in ("", scene.governed, None):
        scene.must_run(safe_push_command(stored(name), remote_sha=remote_sha), shell=shell)

        assert scene.heads()[name] == scene.governed
    scene.bare.point(name, scene.other)
    done = scene.run(safe_push_command(stored(name), remote_sha=scene.governed), shell=shell)
    assert done.returncode != 0, "somebody else pushed meanwhile"


@pytest.mark.django_db
@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the scripts are not beside the project")
def test_what_is_printed_about_a_name_of_other_bytes_works(server: GitServer) -> None:
    folder = server.root / "bytes.git"
    run_script("mkbytes.sh", str(folder))
    connect(server, "bytes")
    [finding] = [one for one in reconcile("bytes")["findings"] if one["branch"] != "main"]
    clone = server.root.parent / "clone"
    git(server.root, "clone", "-q", str(folder), str(clone))
    command, restore = finding["command"], finding["actual"]["restore"]

    for printed, there in ((command, False), (restore, True)):
        subprocess.run(["sh", "-c", printed], cwd=clone, check=True, capture_output=True)

        listed = subprocess.run(
            ["git", "for-each-ref", "refs/heads"],
            cwd=folder,
            capture_output=True,
            check=True,
        )
        assert (BYTES_NAME in listed.stdout) is there


@pytest.mark.django_db
def test_a_name_too_long_for_any_index_is_governed_and_no_command_is_printed(
    server: GitServer,
) -> None:
    bare = Bare(server.root / "long.git")
    bare.point("main", bare.commit(date=days_ago(100)))
    old = bare.commit(bare.head("main"), date=days_ago(90))
    # Packed references may be longer than any path; random letters cannot be compressed.
    letters = random.Random(7)
    names = ["".join(letters.choices("abcdefghijklmnop", k=3000)) for _ in range(2)]
    packed = "".join(f"{old} refs/heads/{name}\n" for name in sorted(names))
    (bare.folder / "packed-refs").write_text(f"# pack-refs with: sorted\n{packed}")

    connect(server, "long")
    findings = {one["branch"]: one for one in reconcile("long")["findings"]}

    assert len(findings) == 2
    for name, finding in findings.items():
        assert (len(name) < 1000, finding["command"], finding["actual"]["restore"]) == (
            True,
            "",
            "",
        )
        assert "Restore it any time with" not in finding["recommendation"]
        assert "no command can be printed" in finding["recommendation"]
