"""A merge of a recorded pull request is governed, and nothing that only looks like one.

The remote is real git.
"""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from governance.models import Branch
from reconciliation.models import Evaluation, Finding, RepositoryWatch
from reconciliation.remotes.client import GitRemote
from tests.conftest import World
from tests.factories.governance import BranchFactory, LeaseFactory
from tests.functional.loop.announcing import announce_gate, announce_merge, announce_pull_request
from tests.functional.loop.test_coverage import record
from tests.functional.loop.test_the_loop import Loop
from tests.integration.policy.acts import publish

pytestmark = pytest.mark.django_db

POLICY = """\
changes:
  required_pr_flow: true
  required_gates: [ci]
  high_risk_paths: ["auth/**"]
"""


class GitLoop(Loop):
    """A loop whose remote is a real git repository, with a clone in which people work."""

    def __init__(self, world: World, folder: Path, now: datetime) -> None:
        bare, self.work = folder / "api.git", folder / "work"
        self._run("init", "-q", "--bare", "-b", "main", str(bare), cwd=folder)
        self._run("clone", "-q", str(bare), str(self.work), cwd=folder)
        world.repository.clone_url = str(bare)
        world.repository.save()
        remote: Any = GitRemote(folder / "mirrors", allowed_local_roots=(folder,))
        super().__init__(world, remote, now)
        self.first = self.commit("main", README="1", **{"auth/session": "1"})
        self.git("push", "-q", "origin", "main")
        Branch.objects.filter(repository=self.repository).update(
            governed_head=self.first,
            observed_head=self.first,
            branch_class="default",
            governed_by="connect",
        )

    def git(self, *arguments: str) -> str:
        return self._run(*arguments, cwd=self.work)

    def commit(self, branch: str, *, message: str = "change", **files: str) -> str:
        self.git("checkout", "-q", "-B", branch)
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def publish(self, branch: str, before: str, *, pusher: str) -> str:
        """Push a branch, and let the host announce it."""
        head = self.git("rev-parse", branch)
        self.git("push", "-q", "--force", "origin", branch)
        self.announce(branch, before, head, pusher=pusher)
        return head

    def _run(self, *arguments: str, cwd: Path) -> str:
        person = ("-c", "user.name=alice", "-c", "user.email=alice@acme.example")
        done = subprocess.run(
            ["git", *person, *arguments], cwd=cwd, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@pytest.fixture
def loop(tenant_world: World, tmp_path: Path, now: datetime) -> GitLoop:
    RepositoryWatch.objects.create(repository=tenant_world.repository, next_due_at=now)
    publish(POLICY, "repository", "acme/main/api", now=datetime.now(UTC))
    return GitLoop(tenant_world, tmp_path, now)


def propose(loop: GitLoop, *, is_recorded: bool = True, pusher: str = "alice") -> str:
    """Make a change of a high-risk path on topic, record it, push it, open a pull request."""
    loop.commit("topic", **{"auth/session": "2"})
    head = loop.commit("topic", message="more", docs="2")
    if is_recorded:
        record(
            loop,
            branch="topic",
            base_sha=loop.first,
            head_sha=head,
            gate_results={"ci": "passed"},
        )
    loop.publish("topic", "0" * 40, pusher=pusher)
    announce_pull_request(loop, 7, head="topic", sha=head)
    see(loop)
    return head


def move_main_on(loop: GitLoop, **files: str) -> str:
    """Let main move under its own run, so that the pull request is behind."""
    before = loop.git("rev-parse", "origin/main")
    loop.git("checkout", "-q", "main")
    head = loop.commit("main", message="elsewhere", **(files or {"web": "2"}))
    record(
        loop,
        run_id=f"run-{head[:7]}",
        base_sha=before,
        head_sha=head,
        gate_results={"ci": "passed"},
    )
    loop.publish("main", before, pusher="alice")
    see(loop)
    return head


def merge_commit(loop: GitLoop) -> str:
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--no-ff", "-m", "Merge pull request #7", "topic")
    return loop.git("rev-parse", "HEAD")


def squash(loop: GitLoop) -> str:
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--squash", "topic")
    loop.git("commit", "-q", "-m", "Change (#7)")
    return loop.git("rev-parse", "HEAD")


def rebase(loop: GitLoop, *, makes_all_anew: bool = True) -> str:
    loop.git("checkout", "-q", "-B", "rebased", "topic")
    # What a host does: new commits even where nothing is to be moved.
    loop.git("rebase", "-q", "--force-rebase", "main")
    if not makes_all_anew:
        loop.git("reset", "-q", "--hard", "topic")
    loop.git("commit", "-q", "--amend", "-m", "more (#7)")
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--ff-only", "rebased")
    return loop.git("rev-parse", "HEAD")


def fast_forward(loop: GitLoop) -> str:
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--ff-only", "topic")
    return loop.git("rev-parse", "HEAD")


def land(loop: GitLoop, head: str, *, is_deleted: bool = True, **values: Any) -> None:
    """Push main as the host does once somebody pressed the button, and let it be announced."""
    before = loop.git("rev-parse", "origin/main")
    merged = loop.publish("main", before, pusher="web-flow")
    known: dict[str, Any] = {"head": "topic", "sha": head, "merge_sha": merged}
    announce_merge(loop, 7, **(known | values))
    if is_deleted:
        loop.git("push", "-q", "origin", ":refs/heads/topic")
        loop.announce("topic", head, "0" * 40, pusher="web-flow")
    see(loop)


def see(loop: Loop) -> None:
    """Let everything be decided that can be, long after every grace."""
    loop.drain(after=timedelta(seconds=1))
    for _ in range(2):
        loop.drain(after=timedelta(minutes=20))


def rules(loop: Loop) -> set[str]:
    finding = Finding.objects.get(check_kind="head_drift", state="open", branch="main")
    return {one["rule"] for one in finding.rule_hits}


def is_governed(loop: Loop) -> bool:
    return bool(loop.branch().governed_head == loop.branch().observed_head)


METHODS: dict[str, Callable[[GitLoop], str]] = {
    "merge": merge_commit,
    "squash": squash,
    "rebase": rebase,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_behind", [False, True], ids=["up to date", "behind main"])
@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted", "kept"])
def test_the_merge_of_a_recorded_pull_request_is_governed(
    method: str, is_behind: bool, is_deleted: bool, loop: GitLoop
) -> None:
    head = propose(loop)
    if is_behind:
        move_main_on(loop)
    METHODS[method](loop)

    land(loop, head, is_deleted=is_deleted)

    assert is_governed(loop)
    assert loop.branch().governed_by == "pull_request:7"
    assert not Finding.objects.filter(branch="main", state="open").exists()
    decision = Evaluation.objects.filter(task__branch="main", task__task_kind="head_drift")
    assert any(f"pull request #7 ({method})" in one.decision for one in decision)


def test_a_fast_forward_of_a_recorded_pull_request_is_governed(loop: GitLoop) -> None:
    head = propose(loop)
    fast_forward(loop)

    land(loop, head)

    assert is_governed(loop)


def test_a_rebase_that_keeps_the_first_commits_is_governed(loop: GitLoop) -> None:
    head = propose(loop)
    rebase(loop, makes_all_anew=False)

    land(loop, head)

    assert is_governed(loop)


def test_two_merges_between_two_looks_are_governed(loop: GitLoop) -> None:
    head = propose(loop)
    merge_commit(loop)
    before = loop.git("rev-parse", "origin/main")
    first = loop.publish("main", before, pusher="web-flow")
    announce_merge(loop, 7, head="topic", sha=head, merge_sha=first)
    loop.git("checkout", "-q", "-B", "other", "main")
    other = loop.commit("other", **{"auth/other": "1"})
    record(
        loop,
        "bob",
        run_id="run-2",
        branch="other",
        base_sha=first,
        head_sha=other,
        gate_results={"ci": "passed"},
    )
    loop.publish("other", "0" * 40, pusher="bob")
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--no-ff", "-m", "Merge pull request #8", "other")
    second = loop.publish("main", first, pusher="web-flow")
    announce_merge(loop, 8, head="other", sha=other, merge_sha=second)

    see(loop)

    assert is_governed(loop)
    assert loop.branch().governed_by == "pull_request:8"


def test_the_gates_of_the_host_at_the_merged_head_count(loop: GitLoop) -> None:
    loop.commit("topic", **{"auth/session": "2"})
    head = loop.git("rev-parse", "topic")
    record(loop, branch="topic", base_sha=loop.first, head_sha=head, gate_results={})
    loop.publish("topic", "0" * 40, pusher="alice")
    announce_gate(loop, head, "ci", "success")
    see(loop)
    squash(loop)

    land(loop, head)

    assert is_governed(loop)


# --- what must not pass ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_merge_of_an_unrecorded_pull_request_is_drift(method: str, loop: GitLoop) -> None:
    head = propose(loop, is_recorded=False)
    METHODS[method](loop)

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.merge_unrecorded" in rules(loop)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["auth/backdoor", "docs"], ids=["an extra file", "another blob"])
def test_a_merge_that_brings_more_than_was_recorded_is_drift(
    method: str, path: str, loop: GitLoop
) -> None:
    head = propose(loop)
    METHODS[method](loop)
    (loop.work / path).write_text("evil", encoding="utf-8")
    loop.git("add", "--all")
    loop.git("commit", "-q", "--amend", "--no-edit")

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.merge_differs" in rules(loop)


def test_a_merge_that_drops_part_of_the_change_is_drift(loop: GitLoop) -> None:
    head = propose(loop)
    merge_commit(loop)
    loop.git("checkout", "-q", loop.first, "--", "auth/session")
    loop.git("commit", "-q", "--amend", "--no-edit")

    land(loop, head)

    assert not is_governed(loop)


def test_a_merge_that_undoes_what_main_did_meanwhile_is_drift(loop: GitLoop) -> None:
    head = propose(loop)
    move_main_on(loop, docs="main's own")
    loop.git("checkout", "-q", "main")
    loop.git("merge", "-q", "--no-ff", "-X", "theirs", "-m", "Merge pull request #7", "topic")

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.merge_unknown" in rules(loop)


def test_a_head_that_moved_between_the_record_and_the_merge_is_not_covered(loop: GitLoop) -> None:
    recorded = propose(loop)
    loop.git("checkout", "-q", "topic")
    head = loop.commit("topic", message="sneaked in", **{"auth/session": "3"})
    loop.publish("topic", recorded, pusher="mallory")
    merge_commit(loop)

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.merge_unrecorded" in rules(loop)


def test_a_host_that_names_another_head_than_was_merged_shows_nothing(loop: GitLoop) -> None:
    recorded = propose(loop)
    loop.git("checkout", "-q", "topic")
    loop.commit("topic", message="sneaked in", **{"auth/session": "3"})
    merge_commit(loop)

    land(loop, recorded)

    assert not is_governed(loop)
    assert "drift.merge_differs" in rules(loop)


@pytest.mark.parametrize("method", METHODS)
def test_the_branch_of_a_fork_is_not_ours_though_it_has_its_name(
    method: str, loop: GitLoop
) -> None:
    head = propose(loop)
    METHODS[method](loop)

    land(loop, head, from_fork=True)

    assert not is_governed(loop)


def test_the_record_of_somebody_else_on_the_branch_covers_no_merge(loop: GitLoop) -> None:
    head = propose(loop, pusher="mallory")
    squash(loop)

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.run_not_of_pusher" in rules(loop)


def test_a_push_on_top_of_a_merge_is_not_part_of_it(loop: GitLoop) -> None:
    head = propose(loop)
    merged = merge_commit(loop)
    loop.commit("main", message="on top", **{"auth/session": "9"})

    land(loop, head, merge_sha=merged)

    assert not is_governed(loop)


def test_the_gates_of_the_base_are_asked_for(loop: GitLoop) -> None:
    loop.commit("topic", **{"auth/session": "2"})
    head = loop.git("rev-parse", "topic")
    record(loop, branch="topic", base_sha=loop.first, head_sha=head, gate_results={"ci": "failed"})
    loop.publish("topic", "0" * 40, pusher="alice")
    see(loop)
    squash(loop)

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.run_gates_missing" in rules(loop)


def test_a_lease_on_main_stands_against_a_merge_as_against_any_push(loop: GitLoop) -> None:
    head = propose(loop)
    squash(loop)
    now = datetime.now(UTC)
    LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        user_id="carol",
        agent_id="",
        acquired_at=now - timedelta(minutes=1),
        expires_at=now + timedelta(hours=8),
        max_expires_at=now + timedelta(hours=9),
        last_heartbeat_at=now + timedelta(hours=8),
    )

    land(loop, head)

    assert not is_governed(loop)
    assert "drift.not_lease_holder" in rules(loop)


# --- "Update branch" ------------------------------------------------------------------------------


def update_branch(loop: GitLoop, head: str) -> str:
    """Merge main into topic, as the button does."""
    loop.git("checkout", "-q", "topic")
    loop.git("merge", "-q", "--no-ff", "-m", "Merge branch 'main' into topic", "main")
    updated = loop.publish("topic", head, pusher="web-flow")
    announce_gate(loop, updated, "ci", "success")
    return updated


def test_an_update_of_a_recorded_branch_is_governed_and_so_is_its_merge(loop: GitLoop) -> None:
    head = propose(loop)
    move_main_on(loop, **{"auth/login": "new on main"})
    updated = update_branch(loop, head)
    see(loop)

    topic = loop.branch("topic")
    assert (topic.governed_head, topic.governed_by) == (updated, "update:main")
    assert not Finding.objects.filter(branch="topic", state="open").exists()

    squash(loop)
    land(loop, updated)

    assert is_governed(loop)


def test_what_an_update_brings_counts_neither_as_ahead_nor_as_high_risk(loop: GitLoop) -> None:
    head = propose(loop)
    move_main_on(loop, **{"auth/login": "new on main"})
    loop.git("checkout", "-q", "topic")
    loop.git("merge", "-q", "--no-ff", "-m", "Merge branch 'main' into topic", "main")
    loop.commit("topic", message="not recorded", docs="3")

    loop.publish("topic", head, pusher="alice")
    see(loop)

    finding = Finding.objects.get(branch="topic", check_kind="head_drift", state="open")
    assert "drift.high_risk_path" not in {one["rule"] for one in finding.rule_hits}
    assert finding.actual["ahead"] == "2"


def test_an_update_with_a_change_of_its_own_is_a_change(loop: GitLoop) -> None:
    head = propose(loop)
    move_main_on(loop)
    loop.git("checkout", "-q", "topic")
    loop.git("merge", "-q", "--no-ff", "-m", "Merge branch 'main' into topic", "main")
    (loop.work / "auth/session").write_text("evil", encoding="utf-8")
    loop.git("commit", "-q", "--all", "--amend", "--no-edit")

    loop.publish("topic", head, pusher="mallory")
    see(loop)

    finding = Finding.objects.get(branch="topic", check_kind="head_drift", state="open")
    hit = {one["rule"] for one in finding.rule_hits}
    assert {"drift.merge_differs", "drift.high_risk_path"} <= hit


def test_a_protected_branch_takes_nothing_in_unseen(loop: GitLoop) -> None:
    text = POLICY + "branches: {protected: [release]}\n"
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC), expected_version=1)
    BranchFactory.create(
        repository=loop.repository,
        name="release",
        branch_class="protected",
        governed_head=loop.first,
        observed_head=loop.first,
    )
    loop.git("push", "-q", "origin", f"{loop.first}:refs/heads/release")
    loop.commit("release", own="1")
    loop.git("checkout", "-q", "main")
    move_main_on(loop)
    loop.git("checkout", "-q", "-B", "release", loop.first)
    loop.git("merge", "-q", "--no-ff", "-m", "Take main", "main")

    loop.publish("release", loop.first, pusher="mallory")
    see(loop)

    assert loop.branch("release").governed_head == loop.first


# --- inside a recorded range ----------------------------------------------------------------------


def test_a_push_of_part_of_a_recorded_range_is_covered_in_two_steps(loop: GitLoop) -> None:
    loop.git("checkout", "-q", "-B", "topic", "main")
    part = loop.commit("topic", docs="1")
    whole = loop.commit("topic", docs="2")
    BranchFactory.create(
        repository=loop.repository,
        name="topic",
        branch_class="other",
        governed_head=loop.first,
        observed_head=loop.first,
    )
    loop.git("push", "-q", "origin", f"{loop.first}:refs/heads/topic", f"{whole}:refs/heads/queue")
    gates = {"ci": "passed"}
    record(loop, branch="topic", base_sha=loop.first, head_sha=whole, gate_results=gates)
    loop.git("push", "-q", "origin", f"{part}:refs/heads/topic")
    loop.announce("topic", loop.first, part, pusher="alice")
    see(loop)
    assert loop.branch("topic").governed_head == part

    loop.git("push", "-q", "origin", f"{whole}:refs/heads/topic")
    loop.announce("topic", part, whole, pusher="alice")
    see(loop)

    assert loop.branch("topic").governed_head == whole
    assert not Finding.objects.filter(branch="topic", check_kind="head_drift").exists()
