"""Classifies how a branch's remote head stands to its governed snapshot; judges nothing.

A pure function of the two heads and their ancestry. What cannot be told is `unknown`, never
`in_sync`.
"""

from dataclasses import replace

from reconciliation.domain.facts import HeadFacts
from reconciliation.domain.identity import is_absent

# No `same`: it contradicts heads that differ, and what cannot be told is never in sync.
CLASS_OF_RELATION = {
    "ancestor": "fast_forward",
    "descendant": "rewound",
    "diverged": "rewritten",
    "unrelated": "unrelated",
    "unknown": "unknown",
}
REWRITES = frozenset({"rewound", "rewritten", "unrelated"})
GUARDED = frozenset({"default", "protected"})


def classify(facts: HeadFacts) -> str:
    """Return the drift class; what cannot be told is `unknown`, never `in_sync`."""
    facts = without_null_ids(facts)
    if facts.observed_head is None:
        return "in_sync" if facts.governed_head is None else "deleted"
    if facts.governed_head is None:
        return "created"
    if facts.governed_head == facts.observed_head:
        return "in_sync"
    return "recreated" if facts.was_gone else _change_of_history(facts)


def kind_of_change(facts: HeadFacts, drift_class: str) -> str:
    """Return what happened to the history; a branch that is back may come back rewritten."""
    return _change_of_history(facts) if drift_class == "recreated" else drift_class


def without_null_ids(facts: HeadFacts) -> HeadFacts:
    """Return the facts with git's "nothing here" (40 or 64 zeros) as None."""
    heads = (facts.governed_head, facts.observed_head)
    governed, observed = (None if is_absent(head) else head for head in heads)
    if (governed, observed) == heads:
        return facts
    return replace(facts, governed_head=governed, observed_head=observed)


def _change_of_history(facts: HeadFacts) -> str:
    return CLASS_OF_RELATION.get(facts.relation, "unknown")
