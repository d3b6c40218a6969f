"""Stale branches as tables, complete: every exemption, alone and beside each other; every age."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest

from governance.domain.policy import Policy
from reconciliation.evaluators.stale_branch import evaluate_stale_branch
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    lease,
    place,
    policy,
    request,
    running,
    stale_facts,
)
from tests.unit.evaluators.tables import rows_of

DAY = timedelta(days=1)

# --- what keeps a branch --------------------------------------------------------------------------

EXEMPTIONS: dict[str, dict[str, Any]] = {
    "gone": {"observed_head": None},
    "default_branch": {"branch_class": "default"},
    "default_branch_unknown": {"default_branch": ""},
    "protected_branch": {"branch_class": "protected"},
    "kept_by_convention": {"place": place("gh-readonly-queue/main/pr-7")},
    "keep_list": {},
    "open_pull_request_from": {"pull_requests_from": (request(),)},
    "open_pull_request_onto": {"pull_requests_onto": (request(8, base_branch="topic"),)},
    "live_lease": {"leases": (lease(),)},
    "running_run": {"running_runs": (running(),)},
    "activity_unknown": {"last_activity_at": None},
}
"""In the order in which they count."""


def keeping(*names: str) -> Policy:
    return policy(branches={"keep": ["**"]}) if "keep_list" in names else DEFAULTS


@pytest.mark.parametrize("merged_by", ["", "pull_request", "ancestry", "equivalence"])
@pytest.mark.parametrize("idle", [0 * DAY, 60 * DAY, 1000 * DAY])
@pytest.mark.parametrize("reason", EXEMPTIONS)
def test_each_exemption_is_enough_however_idle_or_merged(
    reason: str, idle: timedelta, merged_by: str
) -> None:
    facts = replace(stale_facts(idle=idle, merged_by=merged_by), **EXEMPTIONS[reason])

    decision = evaluate_stale_branch(facts, keeping(reason), NOON)

    assert (decision.decision, decision.findings) == ("exempt", ())
    assert decision.reason.partition(":")[0] == reason


@pytest.mark.parametrize(("first", "second"), list(combinations(EXEMPTIONS, 2)))
def test_of_two_exemptions_the_stronger_is_told(first: str, second: str) -> None:
    changes = EXEMPTIONS[second] | EXEMPTIONS[first]

    decision = evaluate_stale_branch(
        replace(stale_facts(), **changes), keeping(first, second), NOON
    )

    assert decision.decision == "exempt"
    assert decision.reason.partition(":")[0] == first


STALE = """
idle   merged_by     decision              class     rule
59     -             active                active    -
59     pull_request  active                active    -
60     -             notice                unmerged  stale.notice
60     pull_request  notice                merged    stale.notice
60     ancestry      notice                merged    stale.notice
60     equivalence   notice                merged    stale.notice
66     -             notice                unmerged  stale.notice
67     -             recommend_retirement  unmerged  stale.idle_unmerged
67     pull_request  recommend_retirement  merged    stale.idle_merged
67     ancestry      recommend_retirement  merged    stale.idle_merged
67     equivalence   recommend_retirement  merged    stale.idle_merged
"""


@pytest.mark.parametrize(
    ("idle", "merged_by", "decision", "stable_class", "rule"),
    [tuple(row) for row in rows_of(STALE)],
)
def test_a_branch_that_nothing_keeps(
    idle: str, merged_by: str, decision: str, stable_class: str, rule: str
) -> None:
    facts = stale_facts(idle=int(idle) * DAY, merged_by=merged_by.replace("-", ""))

    answer = evaluate_stale_branch(facts, DEFAULTS, NOON)

    assert (answer.decision, answer.stable_class) == (decision, stable_class)
    assert [hit.rule for draft in answer.findings for hit in draft.rule_hits] == (
        [] if rule == "-" else [rule]
    )
