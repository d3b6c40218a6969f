"""What every remote promises, asked of memory, of git over HTTP and of git in a folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciliation.remotes import (
    ChangedEntries,
    ChangedPaths,
    Comparison,
    HistoryUnknown,
    Relation,
    RemoteHeads,
    RemoteNotFound,
    RemoteRefused,
)
from reconciliation.remotes.base import NOT_THERE, NULL_ID
from tests.integration.remotes.hosts import BORN, Host, Sketch, blob_id

# main:  root - one - two - three - merge        (merge has parents three and side)
# side:          \ - side ----------/
# cross: two x side, twice, the other way round  (a criss-cross: two best common ancestors)
# island: no parents
GRAPH = (
    Sketch("root"),
    Sketch("one", ("root",), at=BORN + 1),
    Sketch("two", ("one",), at=BORN + 2),
    Sketch("side", ("one",), at=BORN + 2),
    Sketch("three", ("two",), at=BORN + 3),
    Sketch("merge", ("three", "side"), at=BORN + 4),
    Sketch("cross-a", ("two", "side"), at=BORN + 5),
    Sketch("cross-b", ("side", "two"), at=BORN + 5),
    Sketch("island", (), {"a": "b"}, at=BORN + 6),
)
EXPECTED = {
    ("two", "two"): (Relation.SAME, 0, 0, "two"),
    ("one", "three"): (Relation.ANCESTOR, 2, 0, "one"),
    ("two", "merge"): (Relation.ANCESTOR, 3, 0, "two"),
    ("three", "root"): (Relation.DESCENDANT, 0, 3, "root"),
    ("two", "side"): (Relation.DIVERGED, 1, 1, "one"),
    ("merge", "cross-a"): (Relation.DIVERGED, 1, 2, ("two", "side")),
    ("cross-a", "cross-b"): (Relation.DIVERGED, 1, 1, ("two", "side")),
    ("three", "island"): (Relation.UNRELATED, 1, 4, None),
}


def fill(host: Host, *sketches: Sketch) -> dict[str, str]:
    """Add commits, give each a branch of its own name, and return the ids."""
    host.add(*sketches)
    for sketch in sketches:
        host.point(sketch.name, sketch.name)
    return host.oids


def test_heads_come_sorted_with_names_exactly_as_git_has_them(host: Host) -> None:
    host.add(Sketch("root"))
    odd = ["main", "refs/heads/odd", "v1.0", "feature/x/y", "Ünïcode", "e\u0301", "é", "🌱", "HEAD"]
    for name in odd:
        host.point(name, "root")

    heads = host.remote.read_heads(host.target)

    expected = [(name, host.oids["root"]) for name in odd]
    assert heads == RemoteHeads.of(expected, default_branch="main", object_format="sha1")
    assert list(heads.heads) == sorted(odd)


def test_an_empty_repository_has_no_heads_and_still_a_default_branch(host: Host) -> None:
    heads = host.remote.read_heads(host.target)

    assert heads.heads == {}
    # `git ls-remote` does not tell about an unborn branch; the protocol does.
    unborn = None if host.target.clone_url.startswith("/") else "main"
    assert heads.default_branch == unborn


def test_a_deleted_branch_is_gone_from_the_heads(host: Host) -> None:
    fill(host, Sketch("main"), Sketch("other", ("main",)))
    before = host.remote.read_heads(host.target)
    host.drop("other")

    after = host.remote.read_heads(host.target)

    assert set(before.heads) == {"main", "other"}
    assert set(after.heads) == {"main"}
    assert before.digest != after.digest


@pytest.mark.parametrize("many", [False, True], ids=["one by one", "in one walk"])
def test_relations_are_told_with_counts_and_the_common_ancestor(host: Host, many: bool) -> None:
    oids = fill(host, *GRAPH)
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)
    asked = list(EXPECTED)
    if many:
        asked += [(old, new) for old in host.oids for new in host.oids]
    pairs = [(oids[old], oids[new]) for old, new in asked]

    answers: dict[tuple[str, str], Comparison] = {}
    for chunk in [pairs] if many else [[pair] for pair in pairs]:
        answers |= host.remote.compare(host.target, chunk)

    for (old, new), (relation, ahead, behind, base) in EXPECTED.items():
        bases = [base] if base is None or isinstance(base, str) else base
        expected_base = min((oids[name] for name in bases if name), default=None)
        assert answers[oids[old], oids[new]] == Comparison(relation, ahead, behind, expected_base)


def test_a_head_that_was_pushed_away_stays_comparable(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",)))
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)
    host.add(Sketch("rewritten", ("main",)))
    host.point("work", "rewritten")
    host.prune()
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)
    pair = (oids["work"], host.oids["rewritten"])

    answer = host.remote.compare(host.target, [pair])[pair]

    assert answer == Comparison(Relation.DIVERGED, 1, 1, oids["main"])


def test_a_head_that_was_pushed_away_before_we_looked_is_unknown_not_rewritten(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",)))
    host.point("work", "main")
    host.prune()
    pair = (oids["work"], oids["main"])
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)

    answer = host.remote.compare(host.target, [pair])[pair]

    assert answer == Comparison.unknown(NOT_THERE)


def test_a_commit_no_branch_leads_to_is_asked_for_while_the_host_still_has_it(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",)))
    host.point("work", "main")
    pair = (oids["work"], oids["main"])

    answer = host.remote.compare(host.target, [pair])[pair]

    assert answer == Comparison(Relation.DESCENDANT, 0, 1, oids["main"])


def test_the_null_id_compares_as_unknown(host: Host) -> None:
    oids = fill(host, Sketch("main"))
    pair = ("0" * 40, oids["main"])

    assert host.remote.compare(host.target, [pair]) == {pair: Comparison.unknown(NULL_ID)}


@pytest.mark.parametrize("bad", ["", "abc123def456", "main", "-x", "G" * 40, "0" * 41, "A" * 40])
def test_only_full_object_ids_are_accepted(host: Host, bad: str) -> None:
    with pytest.raises(RemoteRefused, match="not a full object id"):
        host.remote.compare(host.target, [(bad, "1" * 40)])
    with pytest.raises(RemoteRefused, match="not a full object id"):
        host.remote.sync(host.target, {"main": bad})
    with pytest.raises(RemoteRefused, match="not a full object id"):
        host.remote.commits(host.target, [bad])


def test_a_head_that_is_already_gone_does_not_keep_the_others_away(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",)), Sketch("other", ("main",)))
    listed = dict(host.remote.read_heads(host.target).heads)
    host.add(Sketch("rewritten", ("main",)))
    host.point("work", "rewritten")
    host.prune()

    host.remote.sync(host.target, listed)

    known = host.remote.commits(host.target, [*listed.values(), host.oids["rewritten"]])
    assert set(known) == {oids["main"], oids["other"], host.oids["rewritten"]}


def test_a_head_that_moved_on_meanwhile_is_had_as_an_ancestor(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",)))
    listed = dict(host.remote.read_heads(host.target).heads)
    host.add(Sketch("further", ("work",)))
    host.point("work", "further")

    host.remote.sync(host.target, listed)

    assert oids["work"] in host.remote.commits(host.target, [oids["work"]])


def test_branch_a_may_become_branch_a_slash_b(host: Host) -> None:
    host.add(Sketch("first"), Sketch("second", ("first",)))
    host.point("a", "first")
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)
    host.drop("a")
    host.point("a/b", "second")

    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)

    pair = (host.oids["first"], host.oids["second"])
    assert host.remote.compare(host.target, [pair])[pair].relation is Relation.ANCESTOR


def test_commits_tell_dates_people_and_parents_and_leave_out_what_is_missing(host: Host) -> None:
    oids = fill(host, Sketch("main"), Sketch("work", ("main",), {"a": "1"}, at=BORN + 9))
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)

    found = host.remote.commits(host.target, [oids["work"], "1" * 40])

    assert list(found) == [oids["work"]]
    commit = found[oids["work"]]
    assert (commit.committed_at, commit.parents) == (BORN + 9, (oids["main"],))
    assert (commit.author, commit.committer) == ("author@example.org", "committer@example.org")
    assert len(commit.tree) == 40


def test_commits_between_come_newest_first_with_children_before_parents(host: Host) -> None:
    oids = fill(host, *GRAPH)
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)
    new = {"merge", "three", "two", "side"}

    between = host.remote.commits_between(host.target, oids["one"], oids["merge"], limit=10)

    assert set(between) == {oids[name] for name in new}
    assert between[:2] == (oids["merge"], oids["three"])
    assert list(between[2:]) == sorted([oids["two"], oids["side"]])
    assert (
        host.remote.commits_between(host.target, oids["one"], oids["merge"], limit=2) == between[:2]
    )
    assert host.remote.commits_between(host.target, oids["merge"], oids["one"], limit=9) == ()


def test_commits_between_refuses_to_guess(host: Host) -> None:
    oids = fill(host, Sketch("main"))

    with pytest.raises(HistoryUnknown):
        host.remote.commits_between(host.target, "1" * 40, oids["main"], limit=10)


BEFORE = {
    "auth/login.py": "1",
    "auth/deep/er/x.py": "1",
    "readme": "1",
    "was-file": "1",
    "d/e": "1",
}
AFTER = {
    "auth/login.py": "2",
    "auth/deep/er/x.py": "1",
    "was-file/now": "1",
    "d": "2",
    "n/e/w": "3",
}


def test_changed_entries_show_what_stood_at_each_path_on_both_sides(host: Host) -> None:
    oids = fill(host, Sketch("old", (), BEFORE), Sketch("new", ("old",), AFTER))
    one, two, three = blob_id("1"), blob_id("2"), blob_id("3")

    changed = host.remote.changed_entries(host.target, oids["old"], oids["new"], limit=100)

    expected = {
        "auth/login.py": (one, two),
        "d": (None, two),
        "d/e": (one, None),
        "n/e/w": (None, three),
        "readme": (one, None),
        "was-file": (one, None),
        "was-file/now": (None, one),
    }
    assert changed == ChangedEntries(expected, truncated=False)
    assert list(changed.entries) == sorted(expected)


def test_changed_paths_say_when_there_are_more(host: Host) -> None:
    oids = fill(host, Sketch("old", (), {"same": "1"}), Sketch("new", (), {"b": "1", "a": "1"}))

    def paths(limit: int) -> ChangedPaths:
        return host.remote.changed_paths(host.target, oids["old"], oids["new"], limit=limit)

    assert paths(2) == ChangedPaths(("a", "b"), truncated=True)
    assert paths(3) == ChangedPaths(("a", "b", "same"), truncated=False)
    assert paths(4) == ChangedPaths(("a", "b", "same"), truncated=False)


def test_equal_trees_have_no_changed_paths(host: Host) -> None:
    oids = fill(host, Sketch("old", (), BEFORE), Sketch("new", ("old",), BEFORE))

    changed = host.remote.changed_paths(host.target, oids["old"], oids["new"], limit=5)

    assert changed == ChangedPaths((), truncated=False)


def test_changed_paths_of_a_lost_commit_are_unknown_not_none(host: Host) -> None:
    oids = fill(host, Sketch("main"))

    changed = host.remote.changed_paths(host.target, "1" * 40, oids["main"], limit=5)

    assert changed == ChangedPaths((), truncated=False, known=False, reason=NOT_THERE)


def test_a_repository_that_is_not_there_is_an_error_not_an_empty_one(host: Host) -> None:
    url = host.target.clone_url.replace("api", "nothing")

    with pytest.raises(RemoteNotFound):
        host.remote.read_heads(replace(host.target, clone_url=url))
