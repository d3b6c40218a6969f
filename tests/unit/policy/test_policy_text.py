"""What is wrong in a policy's text, and in which line; what is right, in one canonical form."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json
from governance.domain.policy import DEFAULT_DOCUMENT
from governance.domain.policy_check import check_document
from governance.domain.policy_schema import SETTINGS, leaves, setting_of
from governance.domain.policy_source import MOST_BYTES
from governance.domain.policy_text import PolicyProblem, PolicyText, check_policy, read_policy
from tests.unit.policy.documents import RULES, UNHURRIED, documents

WHOLE = """\
# What acme governs
branches:
  protected: [main, 'release/**']
head_drift:
  mode: off
  settle_seconds: 30
  expected_rewrites:
    - branch: main
      actor: ann
      starts_at: 2026-05-01T02:00:00+02:00
      ends_at: "2026-05-02T00:00:00Z"
alerts:
  escalation:
    - {role: owner, after_seconds: 3600}
    - {role: maintainer, after_seconds: 60}
rules:
  drift.unknown: {mode: observe, weight: 10}
floors:
- head_drift.settle_seconds
- rules.*.mode
"""


def read(text: str | bytes, *, file: str = "p.yaml", layer: str = "site") -> PolicyText:
    return read_policy(text, file=file, layer=layer, rules=RULES)


def told(text: str | bytes, **options: str) -> list[tuple[int, int, str, str]]:
    problems = read(text, **options).problems
    return [(one.line, one.column, one.key, one.code) for one in problems]


def test_a_right_text_gives_its_canonical_document() -> None:
    text = read(WHOLE)

    assert text.problems == ()
    assert text.document == {
        "branches": {"protected": ["main", "release/**"]},
        "head_drift": {
            "mode": "off",
            "settle_seconds": 30,
            "expected_rewrites": [
                {
                    "branch": "main",
                    "actor": "ann",
                    "starts_at": "2026-05-01T00:00:00.000000Z",
                    "ends_at": "2026-05-02T00:00:00.000000Z",
                }
            ],
        },
        "alerts": {
            "escalation": [
                {"role": "maintainer", "after_seconds": 60},
                {"role": "owner", "after_seconds": 3600},
            ]
        },
        "rules": {"drift.unknown": {"mode": "observe", "weight": 10}},
        "floors": ["head_drift.settle_seconds", "rules.*.mode"],
    }


def test_json_and_yaml_of_the_same_meaning_give_the_same_bytes() -> None:
    document = read(WHOLE).document
    rewritten = json.dumps(document, indent="\t", sort_keys=False)

    again = read(rewritten, file="p.json")

    assert again.problems == ()
    assert canonical_json(again.document) == canonical_json(document)


def test_order_repetition_and_empty_sections_mean_nothing() -> None:
    one = read("branches: {protected: [b, a, b]}\nlease: {}\nrules: {drift.unknown: {}}").document
    two = read("branches: {protected: [a, b]}\nfloors: []").document

    assert one == two == {"branches": {"protected": ["a", "b"]}}


@pytest.mark.parametrize(
    ("text", "place", "key", "code"),
    [
        ("head_drift:\n  setle_seconds: 5", (2, 3), "head_drift.setle_seconds", "unknown_key"),
        ("lease: {}\nhead_drft: {}", (2, 1), "head_drft", "unknown_key"),
        ("rules:\n  stale.notice:\n    wait: 5", (3, 5), "rules.stale.notice.wait", "unknown_key"),
        (
            "alerts:\n  escalation:\n  - role: a",
            (3, 5),
            "alerts.escalation.0",
            "missing_key",
        ),
        ("lease:\n  mode: alert\n  mode: off", (3, 3), "lease.mode", "duplicate_key"),
        ("lease:\n  mode: yes", (2, 3), "lease.mode", "not_a_choice"),
        ("lease:\n  mode: true", (2, 3), "lease.mode", "not_a_choice"),
        ("lease:\n  lock_delay_seconds: 15.0", (2, 3), "lease.lock_delay_seconds", "wrong_type"),
        ("lease:\n  lock_delay_seconds: '15'", (2, 3), "lease.lock_delay_seconds", "wrong_type"),
        ("lease:\n  lock_delay_seconds: true", (2, 3), "lease.lock_delay_seconds", "wrong_type"),
        ("lease:\n  lock_delay_seconds:", (2, 3), "lease.lock_delay_seconds", "wrong_type"),
        ("lease:\n  lock_delay_seconds: 301", (2, 3), "lease.lock_delay_seconds", "out_of_range"),
        ("lease:\n  lock_delay_seconds: -1", (2, 3), "lease.lock_delay_seconds", "out_of_range"),
        (f"lease:\n  lock_delay_seconds: {'9' * 5000}", (2, 3), "lease.lock_delay_seconds",
         "wrong_type"),
        ("branches:\n  protected: main", (2, 3), "branches.protected", "wrong_type"),
        ("branches:\n  protected:\n  - main\n  - refs/heads/x", (4, 5), "branches.protected.1",
         "malformed"),
        ("branches:\n  keep: ['']", (2, 10), "branches.keep.0", "blank"),
        ('branches:\n  keep: ["a\\tb"]', (2, 10), "branches.keep.0", "malformed"),
        ("branches:\n  naming: reach/x<task>", (2, 3), "branches.naming", "malformed"),
        ("head_drift: 5", (1, 1), "head_drift", "wrong_type"),
        ("floors: [lease.mode]", (1, 10), "floors.0", "floor_without_value"),
        ("floors: [lease.mood]", (1, 10), "floors.0", "unknown_key"),
        ("rules: {shout: {weight: 1}}", (1, 9), "rules.shout", "malformed"),
        ("rules:\n  drift.unknwon: {weight: 1}", (2, 3), "rules.drift.unknwon", "unknown_rule"),
        ("rules: {shout.out: {weight: 1}}", (1, 9), "rules.shout.out", "unknown_rule"),
        (
            "lease: {default_ttl_seconds: 900,\n  max_ttl_seconds: 899}",
            (1, 9),
            "lease.default_ttl_seconds",
            "inconsistent",
        ),
        (
            "alerts:\n  escalation:\n  - {role: a, after_seconds: 1}\n"
            "  - {role: a, after_seconds: 2}",
            (4, 6),
            "alerts.escalation.1.role",
            "duplicate",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_line_and_column(
    text: str, place: tuple[int, int], key: str, code: str
) -> None:
    assert told(text) == [(*place, key, code)]


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: b: c", (1, 5), "syntax"),
        ("a:\n\tb: 1", (2, 1), "syntax"),
        ("", (1, 1), "empty"),
        ("# nothing", (1, 1), "empty"),
        ("- a", (1, 1), "wrong_type"),
        ("a: &x {}\nb: *x", (1, 4), "alias"),
        ("a: {}\nb: *x", (2, 4), "alias"),
        ("lease: !!python/object:os.system {}", (1, 8), "tag"),
        ("lease: {}\n---\nlease: {}", (2, 1), "many_documents"),
        ("? [a]\n: b", (1, 3), "bad_key"),
        ("lease: " + "[" * 2000, (1, 19), "too_deep"),
        (b"lease:\n  mode: \xff", (2, 1), "not_utf8"),
        ("x" * (MOST_BYTES + 1), (1, 1), "too_large"),
        ("lease: \x07", (1, 1), "syntax"),
    ],
)
def test_what_cannot_be_read_as_yaml_is_told_with_its_place(
    text: str | bytes, place: tuple[int, int], code: str
) -> None:
    assert [(line, column, code) for line, column, _, code in told(text)] == [(*place, code)]


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("", (1, 1), "empty"),
        ('{"lease": {}}\nx', (2, 1), "syntax"),
        ('{"lease": {},}', (1, 14), "syntax"),
        ('{"lease" {}}', (1, 10), "syntax"),
        ("{lease: {}}", (1, 2), "syntax"),
        ('{"lease": nil}', (1, 11), "syntax"),
        ('{"lease": NaN}', (1, 11), "syntax"),
        ('{"lease": {"mode": "off}}', (1, 20), "syntax"),
        ('{"lease": ' + "[" * 5000, (1, 23), "too_deep"),
        ('{"lease": {},\n "lease": {}}', (2, 2), "duplicate_key"),
        ('{"lease":\n {"lock_delay_seconds": 1e2}}', (2, 3), "wrong_type"),
        ('{"branches": {"keep": ["\\ud800"]}}', (1, 24), "malformed"),
    ],
)
def test_what_is_wrong_in_json_is_told_with_its_place(
    text: str, place: tuple[int, int], code: str
) -> None:
    found = [(line, column, code) for line, column, _, code in told(text, file="p.json")]

    assert found == [(*place, code)]


def test_all_mistakes_are_told_at_once_from_the_first_line_to_the_last() -> None:
    lines = [line for line, *_ in told("lease: {mode: 1, mood: 2}\nx: 1\nalerts: []\nfloors: 3")]

    assert lines == [1, 1, 2, 3, 4]


def test_a_problem_reads_as_editors_understand_it() -> None:
    problem = read("head_drift:\n  setle_seconds: 5", file="acme.yaml").problems[0]

    assert str(problem) == (
        "acme.yaml:2:3: error: head_drift.setle_seconds: 'setle_seconds' is no key; did you mean"
        " settle_seconds? [unknown_key]"
    )
    assert problem.pointer == "/head_drift/setle_seconds"


def test_a_pointer_escapes_what_its_grammar_needs() -> None:
    assert read("a~b/c: 1").problems[0].pointer == "/a~0b~1c"


def test_what_is_decided_for_a_whole_repository_is_refused_in_a_branch_layer() -> None:
    text = "branches: {protected: [main]}\nlease: {mode: off}"

    assert [code for *_, code in told(text, layer="branch")] == ["wrong_layer"]
    assert told(text, layer="repository") == []


def test_a_rule_that_nobody_knows_is_an_error_that_names_the_nearest_one() -> None:
    text = read("rules: {drft.unknown: {weight: 5}}")

    assert not text.is_valid
    assert [one.message for one in text.problems] == [
        "there is no such rule; did you mean drift.unknown?"
    ]


def test_which_rules_there_are_is_for_the_caller_to_say() -> None:
    text = "rules: {own.rule: {weight: 5}}"

    assert read_policy(text, file="p.yaml", layer="site", rules=("own.rule",)).problems == ()
    assert not read_policy(text, file="p.yaml", layer="site", rules=()).is_valid


def test_without_a_text_there_are_pointers_but_no_lines() -> None:
    problem = check_policy({"lease": {"mode": "loud"}}, layer="site", rules=()).problems[0]

    assert (problem.line, problem.pointer) == (0, "/lease/mode")
    assert str(problem).startswith("error: lease.mode: ")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_key_of_the_table_has_a_right_default(setting: Any) -> None:
    if setting.default is None:
        assert setting.key.startswith("rules.")
        return
    assert list(setting.kind.faults(setting.default, ())) == []
    assert setting.kind.canonical(setting.default) == setting.default


def test_the_table_and_the_default_document_hold_the_same_keys() -> None:
    keys = {key for key, _ in leaves(DEFAULT_DOCUMENT)}

    assert {setting.key for setting in SETTINGS if setting.default is not None} == keys
    assert {setting_of(key).key for key in keys} == keys


def test_the_default_document_may_be_published_as_it_is() -> None:
    document, faults = check_document(DEFAULT_DOCUMENT, layer="site", rules=())

    assert faults == []
    assert dict(leaves(document)) == dict(leaves(DEFAULT_DOCUMENT))


@UNHURRIED
@given(documents())
def test_checking_a_canonical_document_changes_nothing(document: dict[str, Any]) -> None:
    assert check_document(document, layer="repository", rules=RULES) == (document, [])


@UNHURRIED
@given(documents())
def test_what_yaml_writes_is_read_back_the_same(document: dict[str, Any]) -> None:
    text = read(yaml.safe_dump(document, allow_unicode=True), layer="repository")

    assert (text.document, text.problems) == (document, ())


noise = st.lists(
    st.one_of(st.characters(), st.sampled_from([*"{}[]:,-&*!?|>'\"%@#~\n\t ", "\n  ", ": "])),
    max_size=8,
).map("".join)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text()
            | st.sampled_from(
                ["lease", "rules", "floors", "mode", "alerts", "escalation", "drift.unknown"]
            ),
            inner,
        )
    ),
)


@example(0, 0, "\ud800", "p.json")
@example(5, 0, "\x85", "p.yaml")
@UNHURRIED
@given(st.integers(0, 700), st.integers(0, 30), noise, st.sampled_from(["p.yaml", "p.json", "p"]))
def test_whatever_is_done_to_a_text_only_problems_come_back(
    start: int, length: int, instead: str, file: str
) -> None:
    whole = WHOLE if file != "p.json" else json.dumps(read(WHOLE).document, indent=1)
    mutated = whole[:start] + instead + whole[start + length :]

    text = read(mutated, file=file)

    assert all(isinstance(problem, PolicyProblem) for problem in text.problems)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in text.problems)
    if text.is_valid:
        canonical_json(text.document).encode()


@UNHURRIED
@given(anything)
def test_whatever_value_is_given_only_problems_come_back(value: Any) -> None:
    text = check_policy(value, layer="branch", rules=RULES)

    assert text.is_valid or text.problems
    if text.is_valid:
        canonical_json(text.document).encode()
