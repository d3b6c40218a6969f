"""Reads the four ways in which GitHub reports a gate's result: statuses, checks and workflows."""

from typing import Final

from reconciliation.webhooks.dialect import Reading, accepted, status_event
from reconciliation.webhooks.events import LONGEST_CONTEXT, StatusResult, StatusState
from reconciliation.webhooks.fields import JsonObject, shortened
from reconciliation.webhooks.github_family import actor_of, repository_of
from reconciliation.webhooks.refs import Ref

_STATES: Final[dict[str, StatusState]] = {
    "success": "success",
    "failure": "failure",
    "pending": "pending",
    "error": "error",
}
_CONCLUSIONS: Final[dict[str, StatusState]] = {
    "success": "success",
    "neutral": "success",  # GitHub's own branch protection lets neutral and skipped pass.
    "skipped": "success",
    "failure": "failure",
    "timed_out": "failure",
    "action_required": "failure",
    "cancelled": "error",
    "stale": "error",
    "startup_failure": "error",
}


def read_status(body: JsonObject) -> Reading:
    """Read a commit status; the commit may be on several branches, so it is on none by itself."""
    raw_state = body.name("state")
    names = {branch.name("name") for branch in body.children("branches")}
    status = StatusResult(
        sha=body.commit("sha"),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context=shortened(body.name("context"), longest=LONGEST_CONTEXT),
        source_event="status",
        branches=tuple(sorted(names)),
    )
    return accepted(
        status_event(
            status,
            repository=repository_of(body),
            actor=actor_of(body),
            occurred_at=body.moment("updated_at"),
        )
    )


def read_check_run(body: JsonObject) -> Reading:
    """Read one check. Its suite names the head branch, or null when that lives in a fork."""
    run = body.child("check_run")
    suite = run.optional_child("check_suite")
    return _checked(
        body,
        run,
        context=run.name("name"),
        source_event="check_run",
        branch=suite.optional_name("head_branch") if suite else None,
        occurred_at=run.moment("completed_at") or run.moment("started_at"),
    )


def read_check_suite(body: JsonObject) -> Reading:
    """Read the sum of one app's checks at one commit."""
    suite = body.child("check_suite")
    app = suite.optional_child("app")
    name = app.optional_name("slug") or app.optional_name("name") if app else None
    return _checked(
        body,
        suite,
        context=name or "check_suite",
        source_event="check_suite",
        branch=suite.optional_name("head_branch"),
        occurred_at=suite.moment("updated_at"),
    )


def read_workflow_run(body: JsonObject) -> Reading:
    """Read a workflow's run. A fork's branch may have the name of one of ours: left unnamed."""
    run = body.child("workflow_run")
    head = run.optional_child("head_repository")
    is_ours = head is not None and head.identifier("id") == repository_of(body).host_id
    return _checked(
        body,
        run,
        context=run.optional_name("name") or "workflow_run",
        source_event="workflow_run",
        branch=run.optional_name("head_branch") if is_ours else None,
        occurred_at=run.moment("updated_at"),
    )


def _checked(
    body: JsonObject,
    check: JsonObject,
    *,
    context: str,
    source_event: str,
    branch: str | None,
    occurred_at: str | None,
) -> Reading:
    conclusion = check.optional_name("conclusion")
    # Unfinished is pending; a conclusion we do not know yet is an error, never a success.
    state: StatusState = _CONCLUSIONS.get(conclusion, "error") if conclusion else "pending"
    status = StatusResult(
        sha=check.commit("head_sha"),
        state=state,
        raw_state=conclusion or check.optional_name("status") or "unfinished",
        context=shortened(context, longest=LONGEST_CONTEXT),
        source_event=source_event,
        branches=(branch,) if branch else (),
    )
    return accepted(
        status_event(
            status,
            repository=repository_of(body),
            ref=Ref("branch", branch) if branch else None,
            actor=actor_of(body),
            occurred_at=occurred_at,
        )
    )
