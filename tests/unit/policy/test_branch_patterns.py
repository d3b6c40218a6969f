"""Branch patterns that can match nothing are errors; names by convention are protected or kept."""

import subprocess
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from governance.domain.branch_patterns import why_it_matches_nothing
from governance.domain.policy import branch_class_of, matches
from governance.domain.policy_text import check_policy
from governance.domain.refs import is_ref_name
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.evaluators.stale_branch import evaluate_stale_branch
from tests.unit.evaluators.facts import DEFAULTS, NOON, place, policy, stale_facts

IMPOSSIBLE = [
    *("main ", " main", "release/* ", "a b", "main^", "^", "~x", "a:b", "a\\b", "x\x7f"),
    *("a..b", "a@{b", "x.lock", "*.lock", "x.lock/*", ".x", ".*", "a/.b", "a/.*/b", "x.", "*."),
    *("[abc", "a/[b/c]", "[~:]", "[ ]", "feature/[", "a//b", "/a"),
]
POSSIBLE = [
    *("main", "**", "*", "?", "release/**", "a/", "**/x", "a/**/b", "gtmq_*", "v[0-9]*", "[!a]*"),
    *("a.b", "a.lockx", "*.*", "x@y", "@", "-x", "naïve/日本", "[]a]", "[a-z]*", "a.*", "a./b"),
    *("*-stable", "{a,b}", "a'b", "$(x)"),
]


@pytest.mark.parametrize("pattern", IMPOSSIBLE)
@pytest.mark.parametrize("key", ["protected", "governed", "keep", "protected_by_convention"])
def test_a_pattern_that_can_match_nothing_is_an_error(pattern: str, key: str) -> None:
    text = check_policy({"branches": {key: [pattern]}}, layer="tenant", rules=RULE_WEIGHTS)

    assert [problem.severity for problem in text.problems] == ["error"]
    assert not text.is_valid


@pytest.mark.parametrize("pattern", POSSIBLE)
def test_a_pattern_that_can_match_something_is_none(pattern: str) -> None:
    text = check_policy({"branches": {"protected": [pattern]}}, layer="tenant", rules=())

    assert text.problems == ()


@pytest.mark.parametrize("naming", ["reach/<task> ", "a^/<b>", "x..y/<b>", "<a>/.b"])
def test_a_naming_template_that_can_match_nothing_is_an_error(naming: str) -> None:
    assert not check_policy({"branches": {"naming": naming}}, layer="tenant", rules=()).is_valid


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_matches_a_name_that_git_takes_is_never_refused(data: st.DataObject) -> None:
    name = data.draw(st.text(alphabet="ab./-@{l ockx", min_size=1, max_size=10))
    assume(is_ref_name(name))
    # Any part of the name, within its segments, may stand behind a wildcard.
    pattern = "".join(
        data.draw(st.sampled_from([letter, "?", f"[{letter}]", "*"])) if letter != "/" else "/"
        for letter in name
    )

    assert matches(pattern, name)
    assert why_it_matches_nothing(pattern) == ""


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab./@{ ~^:\\lock", min_size=1, max_size=7))
def test_a_plain_name_is_an_error_exactly_when_git_refuses_it(text: str) -> None:
    assume(not text.endswith("/") and "//" not in text and not text.startswith("/"))
    says_git = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{text}"], capture_output=True, check=False
    )

    assert (why_it_matches_nothing(text) == "") is (says_git.returncode == 0)


@pytest.mark.parametrize(
    "name",
    [
        *("release/1", "release/1/2", "release", "releases/x", "release-1.2", "hotfix/x"),
        *("stable", "stable-2", "stable/victoria", "6-0-stable"),
    ],
)
def test_branches_that_people_release_from_are_protected_without_a_word(name: str) -> None:
    assert branch_class_of(name, default_branches=(), policy=DEFAULTS) == "protected"


@pytest.mark.parametrize("name", ["release-please--branches--main", "topic", "unstable"])
def test_other_branches_are_not(name: str) -> None:
    assert branch_class_of(name, default_branches=(), policy=DEFAULTS) == "other"


def test_a_policy_may_say_that_none_is_protected_by_its_name() -> None:
    none = policy(branches={"protected_by_convention": []})

    assert branch_class_of("release/1", default_branches=(), policy=none) == "other"


@pytest.mark.parametrize(
    "name",
    [
        *("staging", "trying", "staging.tmp", "trying.tmp", "gtmq_main_42", "graphite-base/7"),
        *("mergify/merge-queue/a1", "gh-readonly-queue/main/pr-7-abc", "gh-pages"),
    ],
)
def test_branches_of_bots_are_never_proposed_for_retirement(name: str) -> None:
    idle = stale_facts(place=place(name), idle=timedelta(days=400))
    none = policy(branches={"keep_by_convention": []})

    kept = evaluate_stale_branch(idle, DEFAULTS, NOON)

    assert (kept.decision, kept.reason) == ("exempt", "kept_by_convention")
    assert evaluate_stale_branch(idle, none, NOON).decision == "recommend_retirement"
