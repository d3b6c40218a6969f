"""Reads the webhooks of Gitea and of Forgejo, which is Gitea with more header names."""

from dataclasses import replace
from typing import Final

from reconciliation.webhooks.dialect import (
    ACTION_NOT_RECONCILED,
    Dialect,
    Reading,
    accepted,
    repository_event,
    set_aside,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    RepositoryChange,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, shortened
from reconciliation.webhooks.github_family import (
    actor_of,
    read_create,
    read_delete,
    read_pull_request,
    read_push,
    repository_of,
)

_STATES: Final[dict[str, StatusState]] = {
    "success": "success",
    "skipped": "success",
    "pending": "pending",
    "failure": "failure",
    "warning": "failure",  # Gitea's own merge check takes nothing but success.
    "error": "error",
}


def read_status(body: JsonObject) -> Reading:
    """Read a commit status (Gitea 1.24 and later; earlier ones announce none)."""
    raw_state = body.name("state")
    status = StatusResult(
        sha=body.commit("sha"),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context=shortened(body.name("context"), longest=LONGEST_CONTEXT),
        source_event="status",
    )
    return accepted(
        status_event(
            status,
            repository=repository_of(body),
            actor=actor_of(body),
            occurred_at=body.moment("updated_at") or body.moment("created_at"),
        )
    )


def read_repository(body: JsonObject) -> Reading:
    """Read the end of a repository; renames and transfers are never announced."""
    if body.name("action") != "deleted":
        return set_aside(ACTION_NOT_RECONCILED)
    repository = repository_of(body)
    return accepted(
        repository_event(
            RepositoryChange(action="deleted"),
            repository=repository,
            actor=actor_of(body),
            occurred_at=None,
        )
    )


_TALK: Final = "discussion, not a change to refs"
_RELEASE: Final = "published from a tag whose push is announced by itself"

IGNORED: Final = {
    "fork": "a fork is another repository",
    "issue_assign": _TALK,
    "issue_comment": _TALK,
    "issue_label": _TALK,
    "issue_milestone": _TALK,
    "issues": _TALK,
    "package": _RELEASE,
    "pull_request_approved": _TALK,
    "pull_request_comment": _TALK,
    "pull_request_rejected": _TALK,
    "pull_request_review_approved": _TALK,
    "pull_request_review_comment": _TALK,
    "pull_request_review_rejected": _TALK,
    "pull_request_review_request": _TALK,
    "release": _RELEASE,
    "schedule": "a signal between other programs",
    "wiki": "wiki pages live in a repository of their own",
    "workflow_dispatch": "a signal between other programs",
    "workflow_job": "its result comes as status too",
    "workflow_run": "its result comes as status too",
}

DIALECT: Final = Dialect(
    event_headers=("x-gitea-event",),
    delivery_headers=("x-gitea-delivery",),
    may_be_form=True,
    handled={
        "push": read_push,
        "create": read_create,
        "delete": read_delete,
        "pull_request": read_pull_request,
        "status": read_status,
        "repository": read_repository,
    },
    ignored=IGNORED,
)

FORGEJO_DIALECT: Final = replace(
    DIALECT,
    event_headers=("x-forgejo-event", "x-gitea-event"),
    delivery_headers=("x-forgejo-delivery", "x-gitea-delivery"),
    ignored=IGNORED
    | {
        "action_run_failure": "its result comes as status too",
        "action_run_recover": "its result comes as status too",
        "action_run_success": "its result comes as status too",
    },
)
