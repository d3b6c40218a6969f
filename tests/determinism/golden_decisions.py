"""Keeps fixed facts with what today's rules decide on them; writes that down anew on demand.

    python -m tests.determinism.golden_decisions              after a rule was changed on purpose
    python -m tests.determinism.golden_decisions --add 3000   after facts or rules were added

It refuses to change what is written down of a kind whose number in `RULES_VERSIONS` is still the
one that is written down: raise it first. Decisions that are stored somewhere carry that number, and
`manage.py replay` takes a difference under the same number for tampering.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.domain.canonical import canonical_json, utc_text
from governance.domain.policy import DEFAULT_DOCUMENT, policy_from_document
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.simulation import classified_under
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS

FILE = Path(__file__).with_name("golden_decisions.json")
_RICH: dict[str, dict[str, Any]] = {
    "branches": {"protected": ["release/*"], "keep": ["keep/*"], "naming": "reach/<task>/<number>"},
    "changes": {"high_risk_paths": ["auth/**"], "required_pr_flow": True, "required_gates": ["ci"]},
    "head_drift": {
        "expected_rewrites": [
            {
                "branch": "**",
                "actor": "alice",
                "starts_at": "2026-01-01T00:00:00.000000Z",
                "ends_at": "2027-01-01T00:00:00.000000Z",
            }
        ]
    },
    "alerts": {"from_severity": "low"},
}


def golden() -> dict[str, Any]:
    """Return what is written down."""
    value: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return value


def decided(case: dict[str, Any], policies: dict[str, Any]) -> tuple[Any, Any]:
    """Return the facts of a case as they would be stored today, and what is decided on them."""
    facts_type, evaluate = EVALUATORS[case["task_kind"]]
    facts = decode(facts_type, case["facts"])
    policy = policy_from_document(policies[case["policy"]])
    return encode(facts), encode(evaluate(facts, policy, datetime.fromisoformat(case["at"])))


def main() -> int:
    """Write down what was asked for; return 1 when a number must be raised first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--add", type=int, default=0, metavar="N", help="look at N more facts too")
    options = parser.parse_args()
    known = golden() if FILE.exists() else {"rules_versions": {}, "policies": {}, "cases": []}
    policies, cases = known["policies"], known["cases"]
    again = [_decided_again(case, policies) for case in cases]
    stuck = sorted(
        {
            new["task_kind"]
            for old, new in zip(cases, again, strict=True)
            if old != new and not _is_raised(new["task_kind"], known["rules_versions"])
        }
    )
    if stuck:
        print(f"Raise the number of {', '.join(stuck)} in RULES_VERSIONS first.")
        return 1
    cases = again
    if options.add:
        policies, cases = _with_more(policies, cases, looked_at=options.add)
    lines = ",\n".join(json.dumps(case, sort_keys=True, ensure_ascii=False) for case in cases)
    versions, documents = (
        json.dumps(one, sort_keys=True) for one in (dict(RULES_VERSIONS), policies)
    )
    FILE.write_text(
        f'{{"rules_versions": {versions},\n"policies": {documents},\n"cases": [\n{lines}\n]}}\n',
        encoding="utf-8",
    )
    print(f"{len(cases)} cases are written down.")
    return 0


def _is_raised(kind: str, written: dict[str, int]) -> bool:
    return RULES_VERSIONS[kind] > written.get(kind, 0)


def _decided_again(case: dict[str, Any], policies: dict[str, Any]) -> dict[str, Any]:
    facts, decision = decided(case, policies)
    return {**case, "facts": facts, "decision": decision}


def _with_more(
    policies: dict[str, Any], cases: list[dict[str, Any]], *, looked_at: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Add facts that come to what no case comes to yet."""
    rich = {
        section: {**values, **_RICH.get(section, {})}
        for section, values in DEFAULT_DOCUMENT.items()
    }
    strict = DEFAULT_DOCUMENT | {
        "changes": DEFAULT_DOCUMENT["changes"] | {"required_gates": ["ci"]},
        "runs": {"require_lease": True},
    }
    policies = {"built in": DEFAULT_DOCUMENT, "rich": rich, "strict": strict, **policies}
    seen = {outcome for case in cases for outcome in outcomes(case)}
    found: list[dict[str, Any]] = []
    for kind, facts, at in [*_plausible(looked_at), *_arbitrary(looked_at)]:
        for name in sorted(policies):
            judged = classified_under(facts, policy_from_document(policies[name]))
            case = _decided_again(
                {"task_kind": kind, "policy": name, "at": utc_text(at), "facts": encode(judged)},
                policies,
            )
            if new := set(outcomes(case)) - seen:
                seen |= new
                found.append(case)
    return policies, sorted([*cases, *found], key=lambda one: str(one["task_kind"]))


def _plausible(number: int) -> Iterator[tuple[str, Any, datetime]]:
    """Yield facts as organisations have them."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    django.setup()
    from tests.integration.policy.history import occasions
    from tests.unit.evaluators.facts import (
        NOON,
        A,
        B,
        alert_facts,
        gate,
        head_facts,
        lease,
        merge,
        run,
        stale_facts,
    )
    from tests.unit.evaluators.test_divergence_alert import alert
    from tests.unit.evaluators.test_missing_run import MERGED_AND_GONE

    yield "missing_run", MERGED_AND_GONE, NOON
    recorded = head_facts(runs=(run(A, B, gates=(("ci", "failed"),)),))
    yield "head_drift", recorded, NOON
    yield "head_drift", replace(recorded, gates=(gate("ci"),)), NOON
    its_own = replace(recorded, leases=(lease(user_id="bob-on-host"),))
    joined = replace(its_own, gates=(gate("ci"),), aliases=(("bob-on-host", "bob"),))
    yield "head_drift", joined, NOON
    for change in ("same", "differs", "unknown"):
        yield "head_drift", head_facts(merges=(merge(change=change),)), NOON
    yield "head_drift", head_facts(merges=(merge(runs=()),)), NOON
    yield "stale_branch", stale_facts(merge_unknown="the branch changes too many files"), NOON
    ran_out = alert("acknowledged", acknowledge_expires_at=NOON)
    yield "divergence_alert", alert_facts(alerts=(ran_out,)), NOON

    anywhere: Any = None
    for one in occasions([anywhere], number=number, seed=1):
        is_default = one.facts.place.branch == "main" and hasattr(one.facts, "branch_class")
        facts = replace(one.facts, branch_class="default") if is_default else one.facts
        yield one.kind, facts, one.at


def _arbitrary(number: int) -> Iterator[tuple[str, Any, datetime]]:
    """Yield facts of any kind, the shortest first."""
    from tests.unit.evaluators.facts import NOON
    from tests.unit.evaluators.strategies import FACTS

    for kind in sorted(FACTS):
        drawn = _drawn(FACTS[kind], number)
        for facts in sorted(drawn, key=lambda one: len(canonical_json(encode(one)))):
            yield kind, facts, NOON


def _drawn(facts: Any, number: int) -> list[Any]:
    """Return so many arbitrary facts, the same whenever it is asked for them."""
    from hypothesis import HealthCheck, Phase, given, settings

    found: list[Any] = []

    @settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(facts)
    def draw(one: Any) -> None:
        found.append(one)

    draw()
    return found


def outcomes(case: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield what a case is there for: a fact told, a class decided, a rule, an act on an alert."""
    kind, decision = case["task_kind"], case["decision"]
    yield from ((kind, "told", name) for name, value in case["facts"].items() if value)
    yield (kind, decision["decision"], decision["stable_class"], decision["reason"][:20])
    for finding in decision["findings"]:
        yield (kind, finding["stable_class"], finding["severity"], str(finding["alerting"]))
        for hit in finding["rule_hits"]:
            yield (kind, hit["rule"], str(hit["weight"]))
    for act in decision["alert_acts"]:
        yield (kind, act["act"], act["reason"][:20])


if __name__ == "__main__":
    sys.exit(main())
