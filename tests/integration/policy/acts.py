"""Publishes policies in tests, through the one door that has them take effect."""

from datetime import datetime
from typing import Any

from audit.domain.entries import Actor, ActorKind
from governance.domain.policy_text import PolicyText, read_policy
from governance.selectors.policy_places import policy_place
from governance.services.policy_planning import Plan, plan_version
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.services.policy_rollout import Rollout, publish_policy
from tests.factories.governance import CORRELATION_ID

ANN = Actor(ActorKind.USER, "ann")
REASON = "agreed in the review of March"


def text_of(text: str, layer: str) -> PolicyText:
    return read_policy(text, file="draft.yaml", layer=layer, rules=RULE_WEIGHTS)


def draft(text: str, layer: str = "tenant", target: str = "acme", *, pattern: str = "") -> Plan:
    """Return what publishing would do."""
    place = policy_place(layer=layer, target=target, branch_pattern=pattern)
    return plan_version(text_of(text, layer), place=place)


def publish(
    text: str,
    layer: str = "tenant",
    target: str = "acme",
    *,
    pattern: str = "",
    now: datetime,
    **options: Any,
) -> Rollout:
    return publish_policy(
        text_of(text, layer),
        place=policy_place(layer=layer, target=target, branch_pattern=pattern),
        **{
            "author": ANN,
            "approved_by": None,
            "reason": REASON,
            "expected_version": None,
            "origin": "manual",
            "correlation_id": CORRELATION_ID,
            "now": now,
            **options,
        },
    )
