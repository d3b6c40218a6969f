"""Decides whether a lease is renewed, left to run, or expired; reads facts only.

Renewal needs proof of life, else a crashed agent would hold its branch for ever.
Source: specification, "Renew expiring SCCL leases for active operations".
"""

from datetime import datetime, timedelta

from governance.domain.leases import is_over, proof_of_life, renew_after, renewed_expiry
from governance.domain.policy import Mode, Policy
from reconciliation.domain.facts import LeaseRenewalFacts
from reconciliation.domain.findings import Decision, FindingDraft
from reconciliation.domain.risk import heard, hit, is_alerting, severity_of


def _signs_of_life(facts: LeaseRenewalFacts, policy: Policy, now: datetime) -> str:
    heartbeats = [run.last_heartbeat_at for run in facts.other_runs if run.status == "running"]
    if facts.run_status == "running" and facts.run_last_heartbeat_at is not None:
        heartbeats.append(facts.run_last_heartbeat_at)
    return proof_of_life(
        facts.last_heartbeat_at,
        run_heartbeats=heartbeats,
        now=now,
        heartbeat_seconds=policy.lease.heartbeat_seconds,
    )


def evaluate_lease_renewal(facts: LeaseRenewalFacts, policy: Policy, now: datetime) -> Decision:
    """Return `ended`, `wait`, `renew`, `expire` or `expire_at_cap`.

    A lease is due when at most 1/n of its TTL is left. It is renewed by a full TTL, never beyond
    its total-life cap; also late, while nobody has ended it: a living operation must not lose its
    lease to a reconciler that was down. Without proof of life it is left alone until it expires,
    then ended: at `expires_at` itself it has expired.
    """
    if facts.state != "held":
        return Decision("ended", facts.state, clean=True, reason="the lease has already ended")
    due_at = renew_after(
        facts.expires_at,
        ttl_seconds=facts.ttl_seconds,
        renew_at_ttl_fraction=policy.lease.renew_at_ttl_fraction,
    )
    if now < due_at:
        return _not_yet_due(facts, due_at, now)
    life = _signs_of_life(facts, policy, now)
    until = renewed_expiry(
        now=now, ttl_seconds=facts.ttl_seconds, max_expires_at=facts.max_expires_at
    )
    if life and until > max(facts.expires_at, now):
        return Decision("renew", "held", clean=True, renew_until=until, reason=life)
    if not is_over(facts.expires_at, now=now):
        reason = "total-life cap reached" if life else "no proof of life"
        return Decision(
            "wait", "expiring", clean=False, defer_until=facts.expires_at, reason=reason
        )
    if life:
        return _ended(facts, policy, "expire_at_cap", "lease.life_cap_reached")
    return _ended(facts, policy, "expire", "lease.expired_without_life")


def _not_yet_due(facts: LeaseRenewalFacts, due_at: datetime, now: datetime) -> Decision:
    """Come back when the lease is due.

    A sweep plans a lease from half of its TTL on, once for each expiry: done before it was due, it
    would never be asked about again. One with more time left was renewed since, and has its own.
    """
    if facts.expires_at - now > timedelta(seconds=facts.ttl_seconds) / 2:
        return Decision("wait", "held", clean=True, reason="renewed meanwhile")
    return Decision("wait", "held", clean=True, defer_until=due_at, reason="not yet due")


def _ended(facts: LeaseRenewalFacts, policy: Policy, decision: str, rule: str) -> Decision:
    stable_class = rule.removeprefix("lease.")
    if policy.lease.mode is Mode.OFF:
        return Decision(decision, stable_class, clean=True, reason="lease findings are off")
    inputs = (("lease", facts.lease_id), ("holder", facts.holder), ("run", facts.run_id))
    live = heard([hit(rule, policy, inputs=inputs)], policy, policy.lease.mode)
    if not live:
        return Decision(decision, stable_class, clean=True, reason="the rule is off")
    abandoned = _runs_under(facts) if decision == "expire" else []
    ending = (
        f", and its run{'s' * (len(abandoned) > 1)} {', '.join(abandoned)}"
        f" {'was' if len(abandoned) == 1 else 'were'} marked abandoned"
        if abandoned
        else ""
    )
    why = "reached its total-life cap" if decision == "expire_at_cap" else "showed no sign of life"
    draft = FindingDraft(
        stable_class=stable_class,
        severity=severity_of(live),
        alerting=is_alerting(live, policy, policy.lease.mode),
        rule_hits=live,
        summary=f"Lease {facts.lease_id} of {facts.holder} {why} and expired{ending}.",
        recommendation="Check what the holder left on the branch, then acquire a new lease.",
        command="",
        expected=(("lease", "renewed by a living operation, or released"),),
        actual=(("lease_state", "expired"), ("run_status", facts.run_status)),
        run_id=facts.run_id or None,
        lease_id=facts.lease_id,
    )
    return Decision(decision, stable_class, clean=False, findings=(draft,))


def _runs_under(facts: LeaseRenewalFacts) -> list[str]:
    """Return the running runs that end with the lease: those that it names, or that name it."""
    own = {facts.run_id} if facts.run_status == "running" else set()
    return sorted(own | {run.run_id for run in facts.other_runs if run.lease_id == facts.lease_id})
