"""Draws valid policy documents at random, key by key from the table, for property tests."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from governance.domain.policy_check import check_document
from governance.domain.policy_schema import SETTINGS, Setting, leaves
from governance.domain.policy_values import Choice, Flag, Records, SetOf, Text, Whole

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason for a property to fail."""

RULES = ("drift.unknown", "drift.rewrite_other", "stale.notice", "review.unmapped")
WORDS = st.sampled_from(["a", "b/*", "c/**", "ü", "d e"])
WINDOW = st.fixed_dictionaries(
    {
        "branch": WORDS,
        "actor": st.sampled_from(["ann", "bob"]),
        "starts_at": st.just("2026-05-01T00:00:00+02:00"),
        "ends_at": st.sampled_from(["2026-05-02T00:00:00Z", "2026-05-03T00:00:00Z"]),
    }
)


def value_of(setting: Setting) -> st.SearchStrategy[Any]:
    """Draw a value that this key may have."""
    kind = setting.kind
    if isinstance(kind, Whole):
        return st.integers(kind.low, kind.high)
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, Choice):
        return st.sampled_from(kind.words)
    if isinstance(kind, SetOf):
        return st.lists(WORDS, max_size=3)
    if isinstance(kind, Text):
        return st.sampled_from(["", "reach/<task>", "x/<y>/<z>"])
    assert isinstance(kind, Records)
    if setting.key == "alerts.escalation":
        step = st.fixed_dictionaries(
            {"role": st.sampled_from("abc"), "after_seconds": st.integers(0, 3)}
        )
        return st.lists(step, max_size=3, unique_by=lambda one: one["role"])
    return st.lists(WINDOW, max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a checked, canonical document of a repository layer or above, with floors."""
    written: dict[str, Any] = {}
    for setting in draw(st.lists(st.sampled_from(SETTINGS), max_size=8)):
        section, name = setting.key.split(".", 1)
        value = draw(value_of(setting))
        if section == "rules":
            rule = written.setdefault(section, {}).setdefault(draw(st.sampled_from(RULES)), {})
            rule[name.removeprefix("*.")] = value
        else:
            written.setdefault(section, {})[name] = value
    # What contradicts itself, such as a default above its maximum, is left out by the check.
    document, faults = check_document(written, layer="repository", rules=RULES)
    if any(fault.code == "inconsistent" for fault in faults):
        document.pop("lease", None)
        document.pop("alerts", None)
    floors = [key for key, _ in leaves(document)] + ["rules.*.mode", "rules.*.weight"]
    chosen = draw(st.lists(st.sampled_from(floors), max_size=4, unique=True))
    return document | ({"floors": sorted(chosen)} if chosen else {})
