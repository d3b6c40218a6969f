"""Reads the webhooks of Gogs: pushes like GitHub's, pull requests that name branches only."""

from typing import Final

from reconciliation.webhooks.dialect import (
    ACTION_NOT_RECONCILED,
    Dialect,
    Reading,
    accepted,
    life_of,
    pull_request_event,
    set_aside,
)
from reconciliation.webhooks.events import LONGEST_TITLE, PullRequestState
from reconciliation.webhooks.fields import JsonObject
from reconciliation.webhooks.github_family import (
    STEPS,
    actor_of,
    is_fork,
    is_merged,
    labels_of,
    login_under,
    read_create,
    read_delete,
    read_push,
    repository_of,
    step_of,
)


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request. Gogs names no commits but the merge: heads must be read from git."""
    action = body.name("action")
    if action not in STEPS:
        return set_aside(ACTION_NOT_RECONCILED)
    pull_request = body.child("pull_request")
    head, base = pull_request.optional_child("head_repo"), pull_request.child("base_repo")
    merged = is_merged(pull_request)
    state = PullRequestState(
        number=pull_request.number("number"),
        action=action,
        step=step_of(action, merged=merged, previous_base=None),
        state=life_of(is_open=pull_request.name("state") == "open", merged=merged),
        raw_state=pull_request.name("state"),
        merged=merged,
        title=pull_request.optional_text("title", longest=LONGEST_TITLE),
        author=login_under(pull_request, "user"),
        head_branch=pull_request.name("head_branch"),
        head_repository=head.full_name("full_name") if head else None,
        base_branch=pull_request.name("base_branch"),
        base_repository=base.full_name("full_name"),
        merge_sha=pull_request.optional_object_id("merge_commit_sha"),
        merged_at=pull_request.moment("merged_at"),
        from_fork=is_fork(head, base),
        labels=labels_of(pull_request),
        updated_at=pull_request.moment("merged_at"),
    )
    return accepted(
        pull_request_event(state, repository=repository_of(body), before=None, actor=actor_of(body))
    )


DIALECT: Final = Dialect(
    event_headers=("x-gogs-event",),
    delivery_headers=("x-gogs-delivery",),
    may_be_form=True,
    handled={
        "push": read_push,
        "create": read_create,
        "delete": read_delete,
        "pull_request": read_pull_request,
    },
    ignored={
        "fork": "a fork is another repository",
        "issue_comment": "discussion, not a change to refs",
        "issues": "discussion, not a change to refs",
        "release": "published from a tag whose push is announced by itself",
    },
)
