"""Plain facts and policies for tests of the rules: the passing case, of which a test changes one.

Every instant is NOON unless told otherwise; A, B, C and D are four commits.
"""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from governance.domain.policy import DEFAULT_DOCUMENT, Policy, policy_from_document
from reconciliation.domain.facts import (
    AlertFact,
    AlertFacts,
    ChangedPaths,
    FindingFact,
    GateFact,
    HeadFacts,
    LeaseFact,
    LeaseRenewalFacts,
    MergeFact,
    MissingRunFacts,
    Place,
    PullRequestFact,
    Push,
    RunFact,
    StaleFacts,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
NULL_IDS = ("0" * 40, "0" * 64)
PLACE = Place("acme", "main", "api", "topic")
INSTANT = timedelta(microseconds=1)


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)


def policy(rules: dict[str, Any] | None = None, **sections: dict[str, Any]) -> Policy:
    """Return the default policy with some values set: `policy(head_drift={"mode": "off"})`."""
    document = deepcopy(DEFAULT_DOCUMENT)
    for section, values in sections.items():
        assert values.keys() <= document[section].keys(), "a key that no policy has"
        document[section] |= values
    document["rules"] = rules or {}
    return policy_from_document(document)


DEFAULTS = policy()


def place(branch: str) -> Place:
    """Return a place in acme/main/api."""
    return Place("acme", "main", "api", branch)


def run(base: str, head: str, run_id: str = "run-1", **values: Any) -> RunFact:
    """Return a run that succeeded from `base` to `head`."""
    known: dict[str, Any] = {
        "status": "succeeded",
        "actor": "bob",
        "lease_id": "",
        "last_heartbeat_at": NOON,
    }
    return RunFact(run_id=run_id, base_sha=base, head_sha=head, **(known | values))


def running(run_id: str = "run-9", *, heartbeat: datetime = NOON, **values: Any) -> RunFact:
    """Return a run that runs from A and was heard of at `heartbeat`."""
    return run(A, "", run_id, **({"status": "running", "last_heartbeat_at": heartbeat} | values))


def lease(lease_id: str = "lease-1", **values: Any) -> LeaseFact:
    """Return a lease of alice on the branch, live for ten more minutes."""
    known: dict[str, Any] = {
        "scope": "branch-level",
        "paths": (),
        "user_id": "alice",
        "agent_id": "reach-cli",
        "run_id": "",
        "expires_at": NOON + seconds(600),
    }
    return LeaseFact(lease_id=lease_id, **(known | values))


def push(pusher: str, before: str | None, after: str | None, *, ago: float = 3600) -> Push:
    """Return a push that was announced so many seconds before NOON."""
    return Push(pusher, before, after, NOON - seconds(ago))


def request(number: int = 7, **values: Any) -> PullRequestFact:
    """Return an open pull request from `topic` onto `main`."""
    known: dict[str, Any] = {
        "state": "open",
        "head_branch": "topic",
        "head_sha": B,
        "base_branch": "main",
        "merge_sha": "",
        "from_fork": False,
        "labels": (),
    }
    return PullRequestFact(number=number, **(known | values))


def merge(number: int = 7, **values: Any) -> MergeFact:
    """Return the squash merge A..B of a pull request at C that bob recorded and pushed from A."""
    known: dict[str, Any] = {
        "method": "squash",
        "before": A,
        "after": B,
        "change": "same",
        "reason": "",
        "source_branch": "topic",
        "source_bases": (A,),
        "source_head": C,
        "from_fork": False,
        "runs": (run(A, C),),
        "updates": (),
        "pushes": (push("bob", A, C),),
        "leases": (),
        "gates": (),
    }
    return MergeFact(number=number, **(known | values))


def gate(context: str, sha: str = B, state: str = "success") -> GateFact:
    """Return the result of a gate."""
    return GateFact(context, sha, state)


def head_facts(relation: str = "ancestor", **values: Any) -> HeadFacts:
    """Return an uncovered move from A to B on an ordinary branch, long settled, pusher bob."""
    known: dict[str, Any] = {
        "place": PLACE,
        "branch_class": "other",
        "governed_head": A,
        "observed_head": B,
        "head_changed_at": NOON - timedelta(hours=1),
        "was_gone": False,
        "announced_by": "webhook",
        "pusher": "bob",
        "relation_reason": "",
        "ahead": 2,
        "behind": 0,
        "changed": ChangedPaths(True, (), False),
        "committer": "bob@example.org",
        "runs": (),
        "leases": (),
        "merged_pull_requests": (),
        "open_pull_requests": (),
    }
    return HeadFacts(relation=relation, **(known | values))


def stale_facts(*, idle: timedelta = timedelta(days=100), **values: Any) -> StaleFacts:
    """Return an unmerged branch at A that nobody touched for `idle`."""
    known: dict[str, Any] = {
        "place": PLACE,
        "branch_class": "other",
        "default_branch": "main",
        "observed_head": A,
        "last_activity_at": NOON - idle,
        "merged_by": "",
        "behind_default": 3,
        "pull_requests_from": (),
        "pull_requests_onto": (),
        "leases": (),
        "running_runs": (),
    }
    return StaleFacts(**(known | values))


def missing_run_facts(**values: Any) -> MissingRunFacts:
    """Return a branch at B under a lease, seen an hour ago, without any run record."""
    known: dict[str, Any] = {
        "place": PLACE,
        "branch_class": "other",
        "observed_head": B,
        "governed_head": A,
        "head_changed_at": NOON - timedelta(hours=1),
        "runs": (),
        "leases": (lease(),),
        "gates": (),
        "pull_requests": (),
        "base_classes": (("main", "default"),),
    }
    return MissingRunFacts(**(known | values))


def renewal_facts(*, left: timedelta, **values: Any) -> LeaseRenewalFacts:
    """Return a held lease of 900 s with `left` to go, heard of a second ago, without a run."""
    known: dict[str, Any] = {
        "place": PLACE,
        "lease_id": "lease-1",
        "state": "held",
        "holder": "alice",
        "acquired_at": NOON - timedelta(hours=1),
        "expires_at": NOON + left,
        "max_expires_at": NOON + timedelta(hours=7),
        "ttl_seconds": 900,
        "last_heartbeat_at": NOON - seconds(1),
        "run_id": "",
        "run_status": "",
        "run_last_heartbeat_at": None,
    }
    return LeaseRenewalFacts(**(known | values))


def finding_fact(**values: Any) -> FindingFact:
    """Return an open finding that is heavy enough for an alert."""
    known: dict[str, Any] = {
        "finding_id": 1,
        "fingerprint": "f" * 64,
        "check_kind": "head_drift",
        "stable_class": "rewritten",
        "state": "open",
        "severity": "critical",
        "alerting": True,
        "rule_ids": ("drift.rewrite_protected",),
    }
    return FindingFact(**(known | values))


def alert_facts(
    finding: FindingFact | None = None, alert: AlertFact | None = None, **values: Any
) -> AlertFacts:
    """Return a branch with one finding and, maybe, its alert."""
    known: dict[str, Any] = {
        "place": PLACE,
        "governed_head": A,
        "observed_head": B,
        "findings": (finding or finding_fact(),),
        "alerts": (alert,) if alert else (),
    }
    return AlertFacts(**(known | values))
