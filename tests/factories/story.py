"""A rich, made-up world for page tests and pictures: every drift class, state and kind of trouble.

Deterministic: the same `now` gives the same rows. Nothing here is read by the product.
"""

import hashlib
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from audit.domain.canonical import canonical_json, sha256_of, utc_text
from audit.domain.entries import RECONCILER, Actor, ActorKind, Entry
from audit.services import append
from governance.models import (
    Branch,
    EffectivePolicy,
    Lease,
    Membership,
    PullRequest,
    Repository,
    RunRecord,
    Tenant,
    Workspace,
)
from reconciliation.models import (
    Alert,
    Evaluation,
    Finding,
    Heartbeat,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    TaskAttempt,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSecret,
    WebhookSource,
)

PASSWORD = "reconcile-me-please"

# tenant, repo, host kind, ordinary branches, how often a webhook told first, how often a sweep did
REPOSITORIES = (
    ("acme", "billing-api", "github", 34, 1204, 3),
    ("acme", "infra", "gitea", 9, 77, 41),
    ("acme", "ledger", "gitlab", 18, 530, 6),
    ("acme", "mobile-app", "github", 26, 911, 2),
    ("acme", "web-console", "github", 41, 2033, 9),
    ("borealis", "fhir-gateway", "bitbucket", 12, 204, 1),
    ("borealis", "records", "gitlab", 22, 640, 4),
    ("borealis", "scheduler", "gitlab", 7, 118, 0),
    ("cinder", "asset-pipeline", "azure", 11, 88, 0),
    ("cinder", "engine", "generic", 15, 0, 59),
    ("cinder", "matchmaker", "github", 13, 402, 5),
)
TOPICS = (
    "retry-budget",
    "invoice-rounding",
    "sepa-export",
    "idle-timeout",
    "webhook-replay",
    "audit-export",
    "dark-mode",
    "rate-limits",
    "fx-rates",
    "pagination",
    "csv-import",
    "login-throttle",
    "cache-keys",
    "tax-tables",
    "push-tokens",
    "deep-links",
    "flaky-tests",
    "schema-v7",
    "feature-flags",
    "telemetry",
    "batch-close",
    "dunning",
    "sso-claims",
    "otel",
)
PEOPLE = ("carol", "dmitri", "ines", "jonas", "mei", "priya", "tomas", "yusuf")


@dataclass
class Story:
    """What tests and pictures want to open."""

    now: datetime
    people: dict[str, User] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    sweeps: list[Sweep] = field(default_factory=list)
    trace: str = ""


def sha(*parts: object) -> str:
    """Return a made-up commit id."""
    return hashlib.sha1("/".join(map(str, parts)).encode()).hexdigest()


def correlation(*parts: object) -> str:
    """Return a made-up correlation id of the usual shape."""
    digest = sha("correlation", *parts)
    return f"019cc{digest[:3]}-{digest[3:7]}-7{digest[7:10]}-8{digest[10:13]}-{digest[13:25]}"


@transaction.atomic
def build_story(*, now: datetime) -> Story:
    """Store the whole world as of `now`."""
    story = Story(now=now)
    _people(story)
    policy = _policy(story)
    for row in REPOSITORIES:
        _repository(story, *row)
    for scenario in SCENARIOS:
        _play(story, policy, **scenario)
    _broken_host(story)
    _queue(story)
    _sweeps(story)
    for name, seconds in (("worker", 2), ("tick", 21), ("canary", 4)):
        Heartbeat.objects.create(name=name, at=now - timedelta(seconds=seconds))
    return story


def _people(story: Story) -> None:
    users = User.objects
    long_ago = story.now - timedelta(days=240)
    for slug, name in (
        ("acme", "Acme Payments"),
        ("borealis", "Borealis Health"),
        ("cinder", "Cinder Games"),
    ):
        tenant = Tenant.objects.create(slug=slug, name=name, created_at=long_ago)
        Workspace.objects.create(
            tenant=tenant,
            slug="main",
            name=f"{name} main",
            manifest={"branch_naming": "reach/<task>/<timestamp>", "sync_strategy": "rebase"},
            created_at=long_ago,
        )
    story.people["root"] = users.create_superuser("root", password=PASSWORD)
    for name, roles in (
        ("olga", {"acme": "operator"}),
        ("vera", {"acme": "viewer"}),
        ("adam", {"borealis": "admin", "acme": "viewer"}),
        ("nina", {}),
    ):
        person = users.create_user(name, password=PASSWORD, is_staff=True)
        story.people[name] = person
        for slug, role in roles.items():
            Membership.objects.create(user=person, tenant=Tenant.objects.get(slug=slug), role=role)


def _policy(story: Story) -> EffectivePolicy:
    document = canonical_json({"head_drift": {"mode": "alert", "settle_seconds": 15}})
    return EffectivePolicy.objects.create(
        digest=hashlib.sha256(document.encode()).hexdigest(),
        document=document,
        first_used_at=story.now - timedelta(days=40),
    )


def _repository(
    story: Story, tenant: str, slug: str, host: str, branches: int, by_webhook: int, by_sweep: int
) -> None:
    now, place = story.now, f"{tenant}/{slug}"
    read = now - timedelta(seconds=20 + len(slug) * 17)
    repository = Repository.objects.create(
        tenant=Tenant.objects.get(slug=tenant),
        workspace=Workspace.objects.get(tenant__slug=tenant),
        slug=slug,
        host_kind=host,
        host_repository_id=str(int(sha(place)[:7], 16)),
        full_name=place,
        clone_url=f"https://git.example/{place}.git",
        web_url=f"https://git.example/{place}",
        default_branch="main",
        connected_at=now - timedelta(days=200 - 7 * len(slug)),
        observed_at=read,
        heads_digest=sha256_of(place),
        heads_count=branches,
        last_fencing_token=branches * 3,
    )
    story.repositories[place] = repository
    RepositoryWatch.objects.create(
        repository=repository,
        next_due_at=now + timedelta(minutes=3 + len(slug)),
        last_swept_at=now - timedelta(minutes=len(slug) * 4),
        last_read_at=read,
        last_delivery_at=None if host == "generic" else now - timedelta(minutes=len(slug) % 7),
        changes_by_webhook=by_webhook,
        changes_by_sweep=by_sweep,
    )
    if host != "generic":
        _source(story, repository)
    _ordinary_branches(story, repository, branches)


def _source(story: Story, repository: Repository) -> None:
    source = WebhookSource.objects.create(
        tenant=repository.tenant,
        repository=repository,
        token=sha("token", repository.slug),
        host_kind=repository.host_kind,
        name=f"{repository.full_name} hook",
        created_at=repository.connected_at,
    )
    WebhookSecret.objects.create(
        source=source, value=sha("secret", repository.slug), created_at=repository.connected_at
    )
    if repository.slug == "infra":
        WebhookRefusal.objects.create(
            source=source,
            reason="bad_signature",
            count=41,
            first_at=story.now - timedelta(days=3, hours=2),
            last_at=story.now - timedelta(minutes=7),
            last_event="push",
            last_correlation_id=correlation("refusal"),
        )


def _ordinary_branches(story: Story, repository: Repository, number: int) -> None:
    now, rows = story.now, []
    names = ["main", "release/2026.02", "release/2026.03"]
    for index in range(number - len(names)):
        topic = TOPICS[index % len(TOPICS)]
        if index % 3 == 0:
            names.append(f"reach/{topic}/20260{1 + index % 3}{10 + index}T0915")
        else:
            names.append(f"{('feat', 'fix', 'chore')[index % 3]}/{topic}-{100 + index}")
    for index, name in enumerate(names):
        head = sha(repository.full_name, name)
        branch_class = (
            "default"
            if name == "main"
            else "protected"
            if name.startswith("release/")
            else "governed"
            if name.startswith("reach/")
            else "other"
        )
        moved = now - timedelta(hours=3 + index * 7, minutes=index * 11)
        rows.append(
            Branch(
                repository=repository,
                name=name,
                branch_class=branch_class,
                governed_head=head,
                governed_at=moved + timedelta(seconds=9),
                governed_by=f"run:run-{head[:8]}" if branch_class == "governed" else "connect",
                observed_head=head,
                observed_at=moved,
                announced_by="webhook" if repository.host_kind != "generic" else "sweep",
                pusher=PEOPLE[index % len(PEOPLE)],
                head_changes=1 + index % 5,
                first_seen_at=repository.connected_at,
                last_activity_at=moved,
            )
        )
        if branch_class == "governed":
            RunRecord.objects.create(
                repository=repository,
                run_id=f"run-{head[:8]}",
                branch=name,
                base_sha=sha(head, "base"),
                head_sha=head,
                patch_hash=sha256_of(head),
                actor=PEOPLE[index % len(PEOPLE)],
                status="succeeded",
                started_at=moved - timedelta(minutes=6),
                ended_at=moved,
                last_heartbeat_at=moved,
                correlation_id=correlation("run", head),
            )
    Branch.objects.bulk_create(rows)
    Repository.objects.filter(pk=repository.pk).update(heads_count=len(rows))


# What went wrong where. `ago` is minutes; `hits` are (rule, weight, inputs).
SCENARIOS: tuple[dict[str, Any], ...] = (
    {
        "place": "acme/billing-api",
        "branch": "main",
        "kind": "rewritten",
        "severity": "critical",
        "ago": 23,
        "pusher": "deploy-bot",
        "holder": "carol",
        "retried": True,
        "joined": True,
        "state": "open",
        "escalated": 1,
        "hits": (
            ("drift.rewrite_protected", 95, {"class": "rewritten"}),
            ("drift.high_risk_path", 80, {"paths": "auth/session.py, billing/charge.py"}),
            ("drift.not_lease_holder", 80, {"pusher": "deploy-bot", "holder": "carol"}),
        ),
        "summary": "The history of main was rewritten: {old} is no longer part of {new}.",
        "recommendation": "Compare both histories, then restore the governed head or accept the"
        " rewrite.",
    },
    {
        "place": "borealis/records",
        "branch": "main",
        "kind": "unrelated",
        "severity": "critical",
        "ago": 4,
        "pusher": "svc-migrate",
        "state": "open",
        "escalated": 0,
        "hits": (("drift.rewrite_protected", 95, {"class": "unrelated"}),),
        "summary": "main was replaced by a history that shares no commit with {old}.",
        "recommendation": "Treat this as hostile until explained; restore the governed head.",
    },
    {
        "place": "acme/billing-api",
        "branch": "release/2026.03",
        "kind": "rewound",
        "severity": "critical",
        "ago": 190,
        "pusher": "tomas",
        "state": "acknowledged",
        "escalated": 1,
        "hits": (("drift.rewrite_protected", 95, {"class": "rewound"}),),
        "summary": "release/2026.03 was reset backwards from {old} to {new}.",
        "recommendation": "Restore the governed head, or accept the reset with a reason.",
    },
    {
        "place": "borealis/records",
        "branch": "release/2026.02",
        "kind": "deleted",
        "severity": "critical",
        "ago": 1500,
        "pusher": "ines",
        "state": "snoozed",
        "escalated": 2,
        "hits": (("drift.delete_protected", 95, {}),),
        "summary": "release/2026.02 is gone from the remote; its governed snapshot is {old}.",
        "recommendation": "Restore the branch, or accept the deletion with a reason.",
    },
    {
        "place": "acme/ledger",
        "branch": "main",
        "kind": "fast_forward",
        "severity": "high",
        "ago": 51,
        "pusher": "jonas",
        "state": "open",
        "escalated": 0,
        "by": "sweep",
        "hits": (
            ("drift.direct_push", 75, {}),
            ("drift.ungoverned_protected", 50, {"commits_ahead": "3"}),
        ),
        "summary": "main moved 3 commits ahead of its governed snapshot, {old} → {new}, without"
        " run records that cover them.",
        "recommendation": "Record the run that made them, or review the commits and accept this"
        " head.",
    },
    {
        "place": "acme/web-console",
        "branch": "reach/retry-budget/20260110T0915",
        "kind": "fast_forward",
        "severity": "high",
        "ago": 12,
        "pusher": "cursor-agent",
        "holder": "mei",
        "state": "open",
        "escalated": 0,
        "hits": (
            ("drift.not_lease_holder", 80, {"pusher": "cursor-agent", "holder": "mei"}),
            ("drift.ungoverned_governed", 45, {"commits_ahead": "1"}),
        ),
        "summary": "reach/retry-budget/20260110T0915 moved 1 commit ahead of its governed"
        " snapshot, {old} → {new}, without run records that cover it.",
        "recommendation": "Record the run that made it, or review the commit and accept this head.",
    },
    {
        "place": "acme/mobile-app",
        "branch": "fix/invoice-rounding-101",
        "kind": "recreated",
        "severity": "medium",
        "ago": 320,
        "pusher": "yusuf",
        "state": "",
        "hits": (("drift.recreated", 55, {}),),
        "summary": "fix/invoice-rounding-101 was deleted and came back as {new}; governance knows"
        " {old}.",
        "recommendation": "Review where the new head comes from, then accept or restore.",
    },
    {
        "place": "cinder/matchmaker",
        "branch": "reach/sso-claims/20260301T1010",
        "kind": "created",
        "severity": "low",
        "ago": 95,
        "pusher": "priya",
        "state": "",
        "hits": (("drift.created_governed", 30, {}),),
        "summary": "reach/sso-claims/20260301T1010 is new on the remote at {new} and has no"
        " governed snapshot.",
        "recommendation": "Record the run that created it, or accept this head as its first"
        " snapshot.",
    },
    {
        "place": "acme/infra",
        "branch": "feature/ünïcode-100%-ready/ß",
        "kind": "rewritten",
        "severity": "low",
        "ago": 44,
        "pusher": "dmitri",
        "state": "",
        "by": "sweep",
        "hits": (("drift.rewrite_other", 20, {"class": "rewritten"}),),
        "summary": "The history of feature/ünïcode-100%-ready/ß was rewritten: {old} is no longer"
        " part of {new}.",
        "recommendation": "Compare both histories, then restore the governed head or accept the"
        " rewrite.",
    },
    {
        "place": "cinder/engine",
        "branch": "release/2026.03",
        "kind": "unknown",
        "severity": "medium",
        "ago": 410,
        "pusher": "",
        "state": "",
        "by": "sweep",
        "hits": (("drift.unknown", 50, {"reason": "the governed head cannot be fetched"}),),
        "summary": "release/2026.03 moved from {old} to {new}, and how they relate cannot be told:"
        " the governed head cannot be fetched.",
        "recommendation": "Fetch both heads where they still exist and compare them before"
        " accepting anything.",
    },
    {
        "place": "acme/web-console",
        "branch": "main",
        "check": "missing_run",
        "kind": "merged_without_run",
        "severity": "high",
        "ago": 66,
        "pusher": "mei",
        "state": "open",
        "escalated": 1,
        "keep_head": True,
        "hits": (("run.missing_for_merge", 75, {"pull_request": "#418"}),),
        "summary": "Pull request #418 was merged into main without a run record for its head.",
        "recommendation": "Record the run that made the change, or review the merge and accept it.",
    },
    {
        "place": "acme/mobile-app",
        "branch": "feat/sepa-export-102",
        "check": "stale_branch",
        "kind": "merged",
        "severity": "low",
        "ago": 900,
        "pusher": "ines",
        "state": "",
        "keep_head": True,
        "hits": (("stale.idle_merged", 20, {"idle_days": "91"}),),
        "summary": "feat/sepa-export-102 has been idle for 91 days and its pull request is merged.",
        "recommendation": "Retire it; nothing is lost.",
    },
    {
        "place": "acme/mobile-app",
        "branch": "chore/webhook-replay-104",
        "check": "stale_branch",
        "kind": "unmerged",
        "severity": "low",
        "ago": 905,
        "pusher": "ines",
        "state": "",
        "keep_head": True,
        "hits": (("stale.idle_unmerged", 25, {"idle_days": "73"}),),
        "summary": "chore/webhook-replay-104 has been idle for 73 days and its commits are nowhere"
        " else.",
        "recommendation": "Ask its author; retire it only when its commits are not needed.",
    },
    {
        "place": "cinder/matchmaker",
        "branch": "reach/retry-budget/20260110T0915",
        "check": "lease_renewal",
        "kind": "expired_without_life",
        "severity": "medium",
        "ago": 31,
        "pusher": "priya",
        "state": "",
        "keep_head": True,
        "hits": (("lease.expired_without_life", 50, {"lease": "lease-7f21"}),),
        "summary": "Lease lease-7f21 of reach-agent-4 ran out without a sign of life; its run was"
        " marked abandoned.",
        "recommendation": "Check what the agent left behind before another takes the branch.",
    },
    {
        "place": "acme/ledger",
        "branch": "release/2026.02",
        "kind": "rewound",
        "severity": "critical",
        "ago": 2900,
        "pusher": "tomas",
        "state": "resolved",
        "escalated": 2,
        "keep_head": True,
        "reopened": 2,
        "hits": (("drift.rewrite_protected", 95, {"class": "rewound"}),),
        "summary": "release/2026.02 was reset backwards from {old} to {new}.",
        "recommendation": "Restore the governed head, or accept the reset with a reason.",
    },
)


def _play(
    story: Story,
    policy: EffectivePolicy,
    *,
    place: str,
    branch: str,
    kind: str,
    severity: str,
    ago: int,
    pusher: str,
    hits: tuple[tuple[str, int, dict[str, str]], ...],
    summary: str,
    recommendation: str,
    state: str,
    check: str = "head_drift",
    escalated: int = 0,
    holder: str = "",
    by: str = "webhook",
    keep_head: bool = False,
    retried: bool = False,
    joined: bool = False,
    reopened: int = 0,
) -> None:
    repository = story.repositories[place]
    at = story.now - timedelta(minutes=ago)
    trace = correlation(place, branch, kind)
    old, new = sha(place, branch), sha(place, branch, kind, "moved")
    row = _moved_branch(
        story,
        repository,
        branch,
        kind=kind,
        at=at,
        pusher=pusher,
        by=by,
        keep_head=keep_head,
        heads=(old, new),
    )
    if holder:
        _lease(story, repository, branch, holder=holder, at=at - timedelta(minutes=4))
    observe = _task(
        repository,
        "",
        "observe_refs",
        trace,
        at=at + timedelta(milliseconds=212),
        took=640,
        decision="changed",
        origin="webhook" if by == "webhook" else "sweep",
        retried=retried,
    )
    if by == "webhook":
        _delivery(
            repository,
            observe,
            trace,
            branch=branch,
            at=at,
            heads=(old, row.observed_head),
            actor=pusher,
            delivery_id=f"{kind}-1",
        )
        if joined:
            _delivery(
                repository,
                observe,
                correlation("joined", place),
                branch="fix/dunning-116",
                at=at + timedelta(milliseconds=150),
                heads=(old, new),
                actor="mei",
                delivery_id=f"{kind}-2",
            )
    done = at + timedelta(seconds=16 if retried else 2)
    task = _task(
        repository,
        branch,
        check,
        trace,
        at=done,
        took=48,
        decision="drift",
        origin="follow_up",
        parent=observe,
    )
    words = {"old": old[:10], "new": new[:10]}
    decision = {
        "clean": False,
        "decision": "drift",
        "findings": [{"rule_hits": [hit[0] for hit in hits], "severity": severity}],
        "stable_class": kind,
    }
    evaluation = Evaluation.objects.create(
        task=task,
        task_kind=check,
        evaluated_at=done + timedelta(milliseconds=31),
        facts=canonical_json({"governed_head": old, "observed_head": row.observed_head}),
        policy=policy,
        decision=canonical_json(decision),
        decision_digest=sha256_of(decision),
    )
    is_over = state == "resolved"
    finding = Finding.objects.create(
        repository=repository,
        branch=branch,
        check_kind=check,
        stable_class=kind,
        fingerprint=sha256_of([place, branch, check, kind]),
        severity=severity,
        state="resolved" if is_over else "open",
        rule_hits=[
            {"rule": r, "weight": w, "inputs": list(map(list, i.items()))} for r, w, i in hits
        ],
        expected={"governed_head": old},
        actual={"observed_head": row.observed_head or "", "pusher": pusher, "announced_by": by},
        summary=summary.format(**words),
        recommendation=recommendation,
        command=f"git push --force-with-lease=refs/heads/{branch}:{new} origin"
        f" {old}:refs/heads/{branch}",
        evaluation=evaluation,
        correlation_id=trace,
        opened_at=at + timedelta(seconds=3),
        last_seen_at=story.now - timedelta(seconds=40),
        reopened_count=reopened,
        resolved_at=story.now - timedelta(minutes=600) if is_over else None,
        resolution="two clean checks: the remote head is the governed head" if is_over else "",
    )
    if state:
        raised = _task(
            repository,
            branch,
            "divergence_alert",
            trace,
            at=done + timedelta(milliseconds=90),
            took=22,
            decision="raise",
            origin="follow_up",
            parent=task,
        )
        _alert(story, finding, raised, state=state, escalated=escalated, reopened=reopened)


def _moved_branch(
    story: Story,
    repository: Repository,
    name: str,
    *,
    kind: str,
    at: datetime,
    pusher: str,
    by: str,
    keep_head: bool,
    heads: tuple[str, str],
) -> Branch:
    old, new = heads
    row = Branch.objects.filter(repository=repository, name=name).first() or Branch(
        repository=repository,
        name=name,
        first_seen_at=at,
        branch_class="governed" if name.startswith("reach/") else "other",
        governed_head=old,
        governed_at=at - timedelta(days=3),
        governed_by="connect",
    )
    row.observed_head, row.previous_head = new, old
    row.observed_at, row.last_activity_at = at, at
    row.announced_by, row.pusher = by, pusher
    row.head_changes += 1
    if keep_head:
        row.observed_head, row.announced_by = row.governed_head, "webhook"
        row.observed_at = row.last_activity_at = at - timedelta(minutes=5)
    if kind == "deleted":
        row.observed_head, row.gone_at = None, at
    if kind == "created":
        row.governed_head = row.governed_at = None
        row.governed_by = ""
    row.save()
    if name == "main" and keep_head:
        PullRequest.objects.create(
            repository=repository,
            number=418,
            title="Retry budget for charge calls",
            author=pusher,
            state="merged",
            head_branch="feat/retry-budget-118",
            head_sha=new,
            base_branch="main",
            base_sha=old,
            merge_sha=row.observed_head or "",
            merged_at=at,
            seen_at=at,
        )
    return row


def _lease(story: Story, repository: Repository, branch: str, *, holder: str, at: datetime) -> None:
    Lease.objects.create(
        repository=repository,
        lease_id=f"lease-{sha(repository.full_name, branch)[:4]}",
        scope="branch-level",
        branch=branch,
        user_id=holder,
        device_id=f"{holder}-laptop",
        agent_id="reach-cli",
        fencing_token=41,
        token_digest=sha256_of(branch),
        ttl_seconds=900,
        acquired_at=at,
        expires_at=story.now + timedelta(seconds=190 + len(branch)),
        max_expires_at=at + timedelta(hours=8),
        last_heartbeat_at=story.now - timedelta(seconds=25),
        correlation_id=correlation("lease", branch),
    )


def _task(
    repository: Repository,
    branch: str,
    kind: str,
    trace: str,
    *,
    at: datetime,
    took: int,
    decision: str,
    origin: str,
    parent: ReconciliationTask | None = None,
    retried: bool = False,
    sweep: Sweep | None = None,
    ordinal: int = 0,
) -> ReconciliationTask:
    started = at + timedelta(milliseconds=120)
    ended = started + timedelta(seconds=14 if retried else 0, milliseconds=took)
    key = sha256_of([repository.full_name, branch, kind, trace, ordinal])
    task = ReconciliationTask.objects.create(
        repository=repository,
        tenant=repository.tenant.slug,
        workspace="main",
        repo=repository.slug,
        branch=branch,
        task_kind=kind,
        subject=trace,
        idempotency_key=key,
        correlation_id=trace,
        origin=origin,
        parent=parent,
        priority=10,
        state="completed",
        attempts=2 if retried else 1,
        run_after=at,
        policy_decision=decision,
        announced_at=at,
        created_at=at,
        started_at=started,
        completed_at=ended,
        sweep=sweep,
        ordinal=ordinal,
    )
    if retried:
        TaskAttempt.objects.create(
            task=task,
            series=1,
            number=1,
            claim_epoch=1,
            worker="worker-2",
            started_at=started,
            ended_at=started + timedelta(seconds=9),
            outcome="retry",
            error_class="temporary",
            error_code="remote_unavailable",
            error="git.example did not answer within 9 s",
        )
    TaskAttempt.objects.create(
        task=task,
        series=1,
        number=2 if retried else 1,
        claim_epoch=2 if retried else 1,
        worker="worker-1",
        started_at=ended - timedelta(milliseconds=took),
        ended_at=ended,
        outcome="completed",
    )
    return task


def _delivery(
    repository: Repository,
    task: ReconciliationTask,
    trace: str,
    *,
    branch: str,
    at: datetime,
    heads: tuple[str, str | None],
    actor: str,
    delivery_id: str,
) -> None:
    event = {
        "kind": "push",
        "branch": branch,
        "before": heads[0],
        "after": heads[1],
        "actor": actor,
        "ref_type": "branch",
        "forced": True,
    }
    body = canonical_json({"ref": f"refs/heads/{branch}", "after": heads[1]}).encode()
    WebhookDelivery.objects.create(
        source=WebhookSource.objects.get(repository=repository),
        event="push",
        delivery_id=sha(delivery_id, repository.full_name, branch)[:32],
        headers=canonical_json({"X-Event": "push"}),
        body_sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
        body=zlib.compress(body),
        outcome="accepted",
        events=canonical_json([event]),
        correlation_id=trace,
        received_at=at,
        applied_at=at + timedelta(milliseconds=38),
        task=task,
    )


def _alert(
    story: Story,
    finding: Finding,
    raised: ReconciliationTask,
    *,
    state: str,
    escalated: int,
    reopened: int,
) -> None:
    now, repository = story.now, finding.repository
    opened = raised.completed_at or now
    ladder: list[dict[str, Any]] = [
        {"role": "maintainer", "after_seconds": 900},
        {"role": "security-reviewer", "after_seconds": 3600},
        {"role": "release-manager", "after_seconds": 14400},
    ]
    for due in ladder[:escalated]:
        due["due_at"] = utc_text(opened + timedelta(seconds=due["after_seconds"]))
    alert = Alert.objects.create(
        finding=finding,
        repository=repository,
        branch=finding.branch,
        state=state,
        severity=finding.severity,
        opened_at=opened,
        escalation_ladder=ladder,
        state_digest=sha256_of([finding.expected, finding.actual]),
        escalation_step=escalated,
        next_escalation_at=now + timedelta(minutes=11) if state == "open" else None,
        reopened_count=reopened,
        correlation_id=finding.correlation_id,
    )
    acts = [(opened, RECONCILER, "alert.open", "opened", finding.summary)]
    for step in range(escalated):
        after = timedelta(seconds=ladder[step]["after_seconds"])
        acts.append(
            (
                opened + after,
                RECONCILER,
                "alert.escalation_due",
                str(finding.severity),
                f"unresolved: step {step + 1} of {len(ladder)} is due",
            )
        )
    if state == "acknowledged":
        alert.acknowledged_by = story.people["olga"]
        alert.acknowledged_as, alert.acknowledged_at = "olga", opened + timedelta(minutes=21)
        alert.acknowledge_reason = (
            "Tomas is re-cutting 2026.03 after the failed smoke test; restored by 18:00."
        )
        alert.acknowledge_expires_at = now + timedelta(hours=5)
        alert.acknowledged_state_digest = alert.state_digest
        acts.append(
            (
                alert.acknowledged_at,
                Actor(ActorKind.USER, "olga"),
                "alert.acknowledge",
                "acknowledged",
                alert.acknowledge_reason,
            )
        )
    if state == "snoozed":
        alert.snoozed_until = now + timedelta(hours=19)
        alert.snoozed_state_digest = alert.state_digest
        acts.append(
            (
                now - timedelta(hours=2),
                Actor(ActorKind.USER, "adam"),
                "alert.snooze",
                "snoozed",
                "Waiting for the records team's go-ahead on Tuesday.",
            )
        )
    if state == "resolved":
        alert.resolved_at, alert.resolution = finding.resolved_at, finding.resolution
        acts.append(
            (
                finding.resolved_at or now,
                RECONCILER,
                "alert.resolve",
                "resolved",
                finding.resolution,
            )
        )
    alert.save()
    number = len(story.alerts) + 1
    story.alerts[state if state not in story.alerts else f"{state}-{number}"] = alert
    if not story.trace:
        story.trace = finding.correlation_id
    append(
        [
            Entry(
                tenant=repository.tenant.slug,
                at=at,
                actor=actor,
                action=action,
                outcome=outcome,
                object_kind="alert",
                object_id=str(alert.pk),
                correlation_id=finding.correlation_id,
                reason=reason,
                workspace="main",
                repo=repository.slug,
                branch=finding.branch,
                task_kind="divergence_alert",
            )
            for at, actor, action, outcome, reason in acts
        ]
    )


def _broken_host(story: Story) -> None:
    repository, now = story.repositories["cinder/asset-pipeline"], story.now
    since = now - timedelta(hours=2, minutes=13)
    RepositoryWatch.objects.filter(repository=repository).update(
        consecutive_failures=9,
        last_error_code="remote_auth_failed",
        failing_since=since,
        last_read_at=since,
        last_error="The host refused the credential `azure-read` (HTTP 401).",
    )
    Repository.objects.filter(pk=repository.pk).update(observed_at=since)
    dead = [
        (
            repository,
            name,
            "permanent",
            "remote_auth_failed",
            "The host refused the credential `azure-read` (HTTP 401).",
        )
        for name in ("", "main", "release/2026.02", "release/2026.03", "fix/dark-mode-106")
    ]
    engine = story.repositories["cinder/engine"]
    dead += [
        (engine, name, "temporary", "remote_unavailable", "git.example did not answer in 15 s.")
        for name in ("release/2026.02", "fix/cache-keys-112")
    ]
    for index, (where, branch, error_class, code, message) in enumerate(dead):
        at = since + timedelta(minutes=11 * index)
        trace = correlation("dead", index)
        task = ReconciliationTask.objects.create(
            repository=where,
            tenant=where.tenant.slug,
            workspace="main",
            repo=where.slug,
            branch=branch,
            task_kind="head_drift" if branch else "observe_refs",
            subject=trace,
            idempotency_key=sha256_of(trace),
            correlation_id=trace,
            origin="sweep",
            priority=20,
            state="dead",
            attempts=7 if error_class == "temporary" else 1,
            run_after=at,
            last_error_class=error_class,
            last_error_code=code,
            last_error=message,
            announced_at=at,
            created_at=at,
            started_at=at,
            completed_at=at + timedelta(minutes=1),
        )
        TaskAttempt.objects.create(
            task=task,
            series=1,
            number=task.attempts,
            claim_epoch=task.attempts,
            worker="worker-1",
            started_at=at,
            ended_at=at + timedelta(seconds=2),
            outcome="dead",
            error_class=error_class,
            error_code=code,
            error=message,
        )


def _queue(story: Story) -> None:
    now = story.now
    kinds = ("head_drift", "missing_run", "stale_branch", "lease_renewal", "head_drift")
    for index in range(17):
        place = REPOSITORIES[index % 5 + 3]
        repository = story.repositories[f"{place[0]}/{place[1]}"]
        branch = repository.branches.order_by("name")[index % 7].name
        running, at = index < 3, now - timedelta(seconds=7 + index * 3)
        trace = correlation("queue", index)
        ReconciliationTask.objects.create(
            repository=repository,
            tenant=place[0],
            workspace="main",
            repo=place[1],
            branch=branch,
            task_kind=kinds[index % 5],
            subject=trace,
            idempotency_key=sha256_of(trace),
            correlation_id=trace,
            origin="webhook" if index % 2 else "sweep",
            priority=10 if index % 2 else 20,
            state="running" if running else "queued",
            attempts=1 if running or index == 5 else 0,
            run_after=at,
            announced_at=at,
            created_at=at,
            started_at=at if running else None,
            claimed_by="worker-1" if running else "",
            claim_expires_at=now + timedelta(seconds=50) if running else None,
            last_error_code="remote_unavailable" if index == 5 else "",
        )


def _sweeps(story: Story) -> None:
    now = story.now
    for index in range(14, 0, -1):
        slot = (now - timedelta(minutes=5 * index)).replace(second=0, microsecond=0)
        worklist = canonical_json([["acme", "ledger", "", "observe_refs"]])
        sweep = Sweep.objects.create(
            slot=slot,
            trigger="manual" if index == 6 else "schedule",
            scope="acme/ledger" if index == 6 else "",
            budget_repositories=100,
            worklist=worklist,
            worklist_digest=sha256_of([index, worklist]),
            considered=11,
            planned=5,
            skipped={"not_due": 5, "backing_off": 1},
            correlation_id=correlation("sweep", index),
            started_at=slot + timedelta(seconds=1),
            planned_at=slot + timedelta(seconds=1, milliseconds=84),
        )
        story.sweeps.append(sweep)
        if index > 4:
            continue
        for ordinal, place in enumerate(REPOSITORIES[:5]):
            repository = story.repositories[f"{place[0]}/{place[1]}"]
            _task(
                repository,
                "",
                "observe_refs",
                sweep.correlation_id,
                at=slot + timedelta(seconds=1, milliseconds=100 + ordinal * 40),
                took=310,
                decision="unchanged" if ordinal != 2 else "changed",
                origin="sweep",
                sweep=sweep,
                ordinal=ordinal,
            )
