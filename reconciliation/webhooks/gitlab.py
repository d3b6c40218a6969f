"""Reads GitLab's project and group webhooks: pushes, merge requests, pipelines and jobs."""

from typing import Final

from reconciliation.webhooks.dialect import (
    ACTION_NOT_RECONCILED,
    Dialect,
    Reading,
    accepted,
    life_of,
    moved_ref,
    moved_refs,
    pull_request_event,
    set_aside,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    LONGEST_TITLE,
    PullRequestState,
    PullRequestStep,
    RepositoryRef,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, shortened
from reconciliation.webhooks.gitlab_system import (
    IGNORED_SYSTEM_EVENTS,
    SYSTEM_EVENTS,
    project_ref,
)
from reconciliation.webhooks.refs import Ref

_STEPS: Final = {
    "open": PullRequestStep.OPENED,
    "reopen": PullRequestStep.REOPENED,
    "close": PullRequestStep.CLOSED,
    "merge": PullRequestStep.MERGED,
    "update": PullRequestStep.EDITED,
}
_STATES: Final[dict[str, StatusState]] = {
    "success": "success",
    "failed": "failure",
    "canceled": "error",
    "canceling": "pending",
    "skipped": "error",  # It ended and proved nothing; GitLab too does not count it by default.
    "created": "pending",
    "manual": "pending",
    "pending": "pending",
    "preparing": "pending",
    "running": "pending",
    "scheduled": "pending",
    "waiting_for_callback": "pending",
    "waiting_for_resource": "pending",
}


def read_push(body: JsonObject) -> Reading:
    """Read a push of one branch or one tag; GitLab does not say whether it was forced."""
    return moved_refs(
        moved_ref(
            body.ref("ref"),
            repository=_repository(body),
            before=body.object_id("before"),
            after=body.object_id("after"),
            forced=None,
            actor=body.person("user_username") or body.person("user_name"),
            occurred_at=None,
        )
    )


def read_merge_request(body: JsonObject) -> Reading:
    """Read a merge request, whose number is its `iid` (`id` counts over all projects)."""
    request = body.child("object_attributes")
    action = request.optional_name("action") or "update"
    if action not in _STEPS:
        return set_aside(ACTION_NOT_RECONCILED)
    changes = body.optional_child("changes")
    previous = request.optional_object_id("oldrev")
    previous_base = _previous(changes, "target_branch")
    source, target = request.optional_child("source"), request.child("target")
    last_commit = request.optional_child("last_commit")
    merged = request.name("state") == "merged"
    source_id = request.optional_identifier("source_project_id")
    head_repository = source.optional_full_name("path_with_namespace") if source else None
    base_repository = target.full_name("path_with_namespace")
    is_elsewhere = source_id != request.identifier("target_project_id")
    state = PullRequestState(
        number=request.number("iid"),
        action=action,
        step=_step(action, changes, previous=previous, previous_base=previous_base),
        state=life_of(is_open=request.name("state") in ("opened", "locked"), merged=merged),
        raw_state=request.name("state"),
        merged=merged,
        draft=request.flag("draft" if request.has("draft") else "work_in_progress"),
        title=request.optional_text("title", longest=LONGEST_TITLE),
        head_branch=request.name("source_branch"),
        head_sha=last_commit.optional_object_id("id") if last_commit else None,
        head_repository=head_repository,
        base_branch=request.name("target_branch"),
        base_repository=base_repository,
        previous_base_branch=previous_base,
        merge_sha=request.optional_object_id("merge_commit_sha")
        or request.optional_object_id("squash_commit_sha"),
        merged_at=request.moment("merged_at"),
        from_fork=is_elsewhere or head_repository not in (None, base_repository),
        labels=tuple(sorted({label.name("title") for label in body.children("labels")})),
        updated_at=request.moment("updated_at"),
    )
    return accepted(
        pull_request_event(state, repository=_repository(body), before=previous, actor=_user(body))
    )


def read_pipeline(body: JsonObject) -> Reading:
    """Read a pipeline's state: with jobs, GitLab's only word on a commit's gates."""
    pipeline = body.child("object_attributes")
    raw_state = pipeline.name("status")
    status = StatusResult(
        sha=pipeline.commit("sha"),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context="pipeline",
        source_event="pipeline",
    )
    return accepted(
        status_event(
            status,
            repository=_repository(body),
            ref=_built_ref(pipeline),
            before=pipeline.optional_object_id("before_sha"),
            actor=_user(body),
            occurred_at=pipeline.moment("finished_at") or pipeline.moment("created_at"),
        )
    )


def read_job(body: JsonObject) -> Reading:
    """Read a job's state; older GitLabs name its project by id alone."""
    raw_state = body.name("build_status")
    status = StatusResult(
        sha=body.commit("sha"),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context=shortened(body.name("build_name"), longest=LONGEST_CONTEXT),
        source_event="build",
    )
    return accepted(
        status_event(
            status,
            repository=_repository(body),
            ref=_built_ref(body),
            before=body.optional_object_id("before_sha"),
            actor=_user(body),
            occurred_at=body.moment("build_finished_at") or body.moment("build_started_at"),
        )
    )


def event_in_body(body: JsonObject) -> str | None:
    """Return the kind of event; a "System Hook" header hides it, `event_name` does not."""
    return body.optional_name("object_kind") or body.optional_name("event_name")


def _repository(body: JsonObject) -> RepositoryRef:
    project = body.optional_child("project")
    if project is not None and project.has("id"):
        return project_ref(project)
    named = project_ref(project) if project else RepositoryRef()
    return RepositoryRef(
        host_id=body.identifier("project_id"),
        full_name=named.full_name,
        clone_url=named.clone_url,
        default_branch=named.default_branch,
    )


def _built_ref(build: JsonObject) -> Ref | None:
    name = build.optional_name("ref")
    if name is None or name.startswith("refs/"):
        return None  # Merge request pipelines run on refs/merge-requests/1/head.
    return Ref("tag" if build.flag("tag") else "branch", name)


def _user(body: JsonObject) -> str | None:
    user = body.optional_child("user")
    return user.person("username") or user.person("name") if user else None


def _previous(changes: JsonObject | None, key: str) -> str | None:
    change = changes.optional_child(key) if changes else None
    return change.optional_name("previous") if change else None


def _step(
    action: str, changes: JsonObject | None, *, previous: str | None, previous_base: str | None
) -> PullRequestStep:
    if action != "update":
        return _STEPS[action]
    if previous is not None:
        return PullRequestStep.NEW_COMMITS
    if previous_base is not None:
        return PullRequestStep.RETARGETED
    if changes is not None and changes.has("labels"):
        return PullRequestStep.LABELLED
    return PullRequestStep.EDITED


_TALK: Final = "discussion, not a change to refs"

DIALECT: Final = Dialect(
    event_headers=("x-gitlab-event",),
    event_in_body=event_in_body,
    delivery_headers=("idempotency-key", "webhook-id"),
    handled={
        **SYSTEM_EVENTS,
        "push": read_push,
        "tag_push": read_push,
        "merge_request": read_merge_request,
        "pipeline": read_pipeline,
        "build": read_job,
    },
    ignored={
        **IGNORED_SYSTEM_EVENTS,
        "access_token": "people and rights; governance reads them from policy, not from hosts",
        "deployment": "deployments start after the merge",
        "emoji": _TALK,
        "feature_flag": "settings of the running product",
        "issue": _TALK,
        "milestone": _TALK,
        "note": _TALK,
        "release": "published from a tag whose push is announced by itself",
        "vulnerability": "security findings have their own tools",
        "wiki_page": "wiki pages live in a repository of their own",
        "work_item": _TALK,
    },
)
