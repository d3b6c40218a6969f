"""Says how long the check of a head that just moved would only wait; reads values only."""

from dataclasses import dataclass
from datetime import timedelta

from governance.domain.policy import Mode, Policy
from reconciliation.domain.identity import is_absent
from reconciliation.evaluators.drift_class import GUARDED

AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Moved:
    """A move of a head, as far as it is known before its history is read.

    `is_forced` is what the host said (None: nothing). `is_recorded`: a run record ends at `after`.
    """

    branch_class: str
    governed_head: str | None
    before: str | None
    after: str | None
    is_forced: bool | None
    is_recorded: bool


def wait_to_settle(moved: Moved, policy: Policy) -> timedelta:
    """Return how long `evaluate_head_drift` would certainly answer `settle`; zero when in doubt.

    A rewrite of a default or protected branch is judged at once, so its check may wait only when
    the host says that the push was none. What a run record may cover, what is new, gone or back,
    and what a policy planned is judged at once, too.
    """
    is_new_or_gone = is_absent(moved.governed_head) or is_absent(moved.after)
    if is_new_or_gone or moved.after == moved.governed_head or moved.is_recorded:
        return AT_ONCE
    if policy.head_drift.mode is Mode.OFF or policy.head_drift.expected_rewrites:
        return AT_ONCE
    is_advance = moved.is_forced is False and moved.before == moved.governed_head
    if moved.branch_class in GUARDED and not is_advance:
        return AT_ONCE
    return timedelta(seconds=policy.head_drift.settle_seconds)
