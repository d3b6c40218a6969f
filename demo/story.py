"""What happens in the organisation: scenes played on real git, each with what must come of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.repositories import Clone, Commit, history

PATIENCE_SECONDS = 240
"""How long to wait for a state before giving up: no scene depends on how fast the machine is."""
HEARTBEAT_SECONDS = 15
"""As in the policy below: a run that was silent for longer is dead."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the product must say about a branch: check, class, severity, decision, found by."""

    check: str
    stable_class: str
    severity: str
    decision: str
    found_by: str
    rule: str = ""


@dataclass(slots=True)
class Scene:
    """One thing that happens: `prepare`, if any, leads up to it, `play` does it.

    `at` is when `play` began (Unix seconds).
    """

    title: str
    repository: str
    branch: str
    expected: Expected
    play: Callable[["Stage"], None]
    prepare: Callable[["Stage"], None] | None = None
    at: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)


class Stage:
    """What scenes act on: the two repositories and the product's API."""

    def __init__(self, payments: Clone, portal: Clone, api: Any) -> None:
        self.payments = payments
        self.portal = portal
        self.api = api

    def start_run(self, repo: str, branch: str, run_id: str, *, base: str, actor: str) -> None:
        """Open a run record, as an engine does before it changes anything."""
        self.api.post("runs", repo=repo, branch=branch, run_id=run_id, base_sha=base, actor=actor)

    def finish_run(self, repo: str, run_id: str, *, head: str) -> None:
        """Close a run record with the head that it made, and let its check end.

        Else the check might see the push before the push's own webhook tells of it.
        """
        told = self.api.post(f"runs/{run_id}/finish", repo=repo, status="succeeded", head_sha=head)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.api.get("tasks", repo=repo, state="unfinished")["results"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the check of {run_id} (task {told['task']}) does not end")
            time.sleep(0.05)


POLICY = """\
# The demonstration's policy for the workspace acme/main: short times, so that it is over soon.
branches:
  protected: ["develop", "release/*"]
  naming: "reach/<task>/<timestamp>"
changes:
  high_risk_paths: ["auth/**", "billing/**"]
head_drift:
  settle_seconds: 0
missing_run:
  grace_seconds: 3600
lease:
  min_ttl_seconds: 5
  heartbeat_seconds: 15
alerts:
  recheck_seconds: 5
"""


def build_payments(clone: Clone) -> None:
    """Make the history of acme/payments: protected, governed and idle branches."""
    clone.commit(
        *history(
            "main",
            "alice",
            [
                ("README.md", "Start the payment service", 0),
                ("src/ledger.py", "Add the ledger", 2),
                ("src/refunds.py", "Add refunds", 4),
            ],
        )
    )
    clone.commit(
        Commit("feature/old-merged", "bob", "Round amounts", {"src/round.py": "1\n"}, 5, "main")
    )
    clone.merge("feature/old-merged", into="main", author="alice", days=6)
    clone.commit(
        Commit("feature/abandoned", "bob", "Try crypto", {"src/crypto.py": "1\n"}, 7, "main")
    )
    clone.commit(
        Commit("release/2.1", "alice", "Prepare 2.1", {"VERSION": "2.1\n"}, 8, "main"),
        Commit("release/2.1", "alice", "Fix rounding in 2.1", {"src/round.py": "2\n"}, 9),
    )
    clone.commit(Commit("develop", "alice", "Open 2.2", {"VERSION": "2.2-dev\n"}, 10, "main"))
    clone.commit(
        Commit(
            "reach/invoice-export/20250315",
            "alice",
            "Export invoices",
            {"src/invoices.py": "1\n"},
            12,
            "main",
        )
    )
    clone.seed()


def build_portal(clone: Clone) -> None:
    """Make the history of acme/portal: where people log in."""
    clone.commit(
        *history(
            "main",
            "carol",
            [
                ("README.md", "Start the portal", 0),
                ("auth/session.py", "Add sessions", 1),
                ("web/home.py", "Add the home page", 3),
            ],
        )
    )
    for branch, message in (
        ("reach/login-form/20250316", "Begin the login form"),
        ("reach/checkout/20250317", "Begin the checkout"),
        ("reach/reports/20250318", "Begin the reports"),
    ):
        path = f"web/{branch.split('/')[1]}.py"
        clone.commit(Commit(branch, "carol", message, {path: "1\n"}, 14, "main"))
    clone.commit(Commit("develop", "carol", "Open 3.0", {"VERSION": "3.0-dev\n"}, 15, "main"))
    clone.seed()


def governed_run(stage: Stage) -> None:
    """A run makes a change and records it."""
    clone = stage.payments
    base = clone.head("main")
    stage.start_run("payments", "main", "run-1001", base=base, actor="alice")
    head = clone.commit(Commit("main", "alice", "Add receipts", {"src/receipts.py": "1\n"}, 20))
    stage.finish_run("payments", "run-1001", head=head)


def governed_push(stage: Stage) -> None:
    """The run's change is pushed."""
    stage.payments.push("main", as_user="alice")


def ungoverned_fast_forward(stage: Stage) -> None:
    """Somebody pushes to a protected branch and no run knows of it."""
    clone = stage.payments
    clone.commit(Commit("develop", "bob", "Quick fix", {"src/quick.py": "1\n"}, 21))
    clone.push("develop", as_user="bob")


def force_push(stage: Stage) -> None:
    """Somebody rewrites the history of a release branch."""
    clone = stage.payments
    clone.amend("release/2.1", author="mallory", message="Fix rounding (squashed)", days=22)
    clone.push("release/2.1", as_user="mallory", force=True)


def deletion(stage: Stage) -> None:
    """Somebody deletes a governed branch."""
    stage.payments.push(":refs/heads/reach/invoice-export/20250315", as_user="bob")


def high_risk_change(stage: Stage) -> None:
    """Somebody changes how people log in, without a run."""
    clone = stage.portal
    clone.commit(
        Commit("main", "carol", "Trust the cookie", {"auth/session.py": "trust = True\n"}, 23)
    )
    clone.push("main", as_user="carol")


def push_against_a_lease(stage: Stage) -> None:
    """An agent holds the branch; somebody else pushes to it all the same."""
    branch = "reach/login-form/20250316"
    stage.api.post(
        "leases",
        repo="portal",
        scope="branch-level",
        branch=branch,
        lease_id="lease-login",
        owner={"user_id": "alice", "agent_id": "reach-cli"},
        ttl_seconds=900,
    )
    clone = stage.portal
    clone.commit(Commit(branch, "mallory", "My own login", {"web/login.py": "2\n"}, 24))
    clone.push(branch, as_user="mallory")


def lost_webhook(stage: Stage) -> None:
    """A push goes through while the network is down: nobody is told."""
    clone = stage.portal
    mute = clone.bare / "mute"
    mute.touch()
    clone.commit(Commit("develop", "dave", "Nobody saw this", {"web/secret.py": "1\n"}, 25))
    clone.push("develop", as_user="dave")
    mute.unlink()


def nothing(_: Stage) -> None:
    """Only time passes; the sweep finds it."""


def pushes() -> Sequence[Scene]:
    """Return the scenes in which somebody pushes and the host announces it."""
    return (
        Scene(
            "a governed push, covered by a run record",
            "payments",
            "main",
            Expected("head_drift", "fast_forward", "", "advance_snapshot", "webhook"),
            governed_push,
            governed_run,
        ),
        Scene(
            "an ungoverned fast-forward of a protected branch",
            "payments",
            "develop",
            Expected(
                "head_drift",
                "fast_forward",
                "medium",
                "drift",
                "webhook",
                "drift.ungoverned_protected",
            ),
            ungoverned_fast_forward,
        ),
        Scene(
            "a force-push over a protected branch",
            "payments",
            "release/2.1",
            Expected(
                "head_drift", "rewritten", "critical", "drift", "webhook", "drift.rewrite_protected"
            ),
            force_push,
        ),
        Scene(
            "a deleted governed branch",
            "payments",
            "reach/invoice-export/20250315",
            Expected(
                "head_drift", "deleted", "medium", "drift", "webhook", "drift.delete_governed"
            ),
            deletion,
        ),
        Scene(
            "a change under a high-risk path without a run record",
            "portal",
            "main",
            Expected(
                "head_drift", "fast_forward", "high", "drift", "webhook", "drift.high_risk_path"
            ),
            high_risk_change,
        ),
        Scene(
            "a push by someone who does not hold the lease",
            "portal",
            "reach/login-form/20250316",
            Expected(
                "head_drift", "fast_forward", "high", "drift", "webhook", "drift.not_lease_holder"
            ),
            push_against_a_lease,
        ),
    )


def found_by_sweep() -> Sequence[Scene]:
    """Return the scenes that no webhook tells of."""
    return (
        Scene(
            "a push whose webhook is lost",
            "portal",
            "develop",
            Expected(
                "head_drift",
                "fast_forward",
                "medium",
                "drift",
                "sweep",
                "drift.ungoverned_protected",
            ),
            lost_webhook,
        ),
        Scene(
            "a stale branch that is merged",
            "payments",
            "feature/old-merged",
            Expected(
                "stale_branch",
                "merged",
                "low",
                "recommend_retirement",
                "sweep",
                "stale.idle_merged",
            ),
            nothing,
        ),
        Scene(
            "a stale branch that is not merged",
            "payments",
            "feature/abandoned",
            Expected(
                "stale_branch",
                "unmerged",
                "low",
                "recommend_retirement",
                "sweep",
                "stale.idle_unmerged",
            ),
            nothing,
        ),
    )


def leases() -> Sequence[Scene]:
    """Return the scenes of leases that run out."""
    return (
        Scene(
            "a lease near expiry with a living run",
            "portal",
            "reach/checkout/20250317",
            Expected("lease_renewal", "held", "", "renew", "sweep"),
            nothing,
        ),
        Scene(
            "a lease near expiry whose run is dead",
            "portal",
            "reach/reports/20250318",
            Expected(
                "lease_renewal",
                "expired_without_life",
                "medium",
                "expire",
                "sweep",
                "lease.expired_without_life",
            ),
            nothing,
        ),
    )
