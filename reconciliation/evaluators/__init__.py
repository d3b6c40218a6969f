"""The pure rules: facts, policy and now in, a decision out."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from governance.domain.policy import Policy
from reconciliation.domain.facts import (
    AlertFacts,
    HeadFacts,
    LeaseRenewalFacts,
    MissingRunFacts,
    StaleFacts,
)
from reconciliation.domain.findings import Decision
from reconciliation.domain.observation import ObservationFacts
from reconciliation.evaluators.divergence_alert import evaluate_divergence_alert
from reconciliation.evaluators.head_drift import evaluate_head_drift
from reconciliation.evaluators.lease_renewal import evaluate_lease_renewal
from reconciliation.evaluators.missing_run import evaluate_missing_run
from reconciliation.evaluators.observe_refs import evaluate_observe_refs
from reconciliation.evaluators.stale_branch import evaluate_stale_branch

Evaluator = Callable[[Any, Policy, datetime], Decision]

EVALUATORS: dict[str, tuple[type[Any], Evaluator]] = {
    "divergence_alert": (AlertFacts, evaluate_divergence_alert),
    "head_drift": (HeadFacts, evaluate_head_drift),
    "lease_renewal": (LeaseRenewalFacts, evaluate_lease_renewal),
    "missing_run": (MissingRunFacts, evaluate_missing_run),
    "observe_refs": (ObservationFacts, evaluate_observe_refs),
    "stale_branch": (StaleFacts, evaluate_stale_branch),
}
"""Task kind to the type of its facts and its rule; replay looks here too."""

RULES_VERSIONS: dict[str, int] = {
    "divergence_alert": 2,
    "head_drift": 3,
    "lease_renewal": 1,
    "missing_run": 3,
    "observe_refs": 1,
    "stale_branch": 6,
}
"""Task kind to the number of its rules, which every decision carries.

Raise it by hand with a change after which stored facts lead to another decision: replay then tells
the decisions of earlier rules apart from those that somebody tampered with. A golden file fails
until it is raised (`python -m tests.determinism.golden_decisions --help`).
"""
