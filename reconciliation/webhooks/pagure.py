"""Reads Pagure's webhooks, whose messages say less than others: often not where a branch was."""

from typing import Final

from reconciliation.webhooks.dialect import (
    Dialect,
    Reading,
    accepted,
    life_of,
    pull_request_event,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    LONGEST_TITLE,
    EventKind,
    NormalisedEvent,
    PullRequestState,
    PullRequestStep,
    RepositoryRef,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, lives_elsewhere, shortened

_STEPS: Final = {
    "pull-request.new": PullRequestStep.OPENED,
    "pull-request.updated": PullRequestStep.NEW_COMMITS,
    "pull-request.rebased": PullRequestStep.NEW_COMMITS,
    "pull-request.closed": PullRequestStep.CLOSED,
    "pull-request.reopened": PullRequestStep.REOPENED,
    "pull-request.initial_comment.edited": PullRequestStep.EDITED,
    "pull-request.tag.added": PullRequestStep.LABELLED,
    "pull-request.tag.removed": PullRequestStep.LABELLED,
}
_STATES: Final[dict[str, StatusState]] = {
    "success": "success",
    "failure": "failure",
    "pending": "pending",
    "error": "error",
    "canceled": "error",
}


def read_receive(body: JsonObject) -> Reading:
    """Read a push to a branch that was there before.

    `old_commit` is not read: after a forced push it is the merge base, not the previous head. What
    the branch was before is known from our own snapshot.
    """
    message = body.child("msg")
    return _pushed(body, after=message.commit("end_commit"), forced=message.flag("forced"))


def read_creation(body: JsonObject) -> Reading:
    """Read a new branch or tag."""
    return _pushed(body, after=body.child("msg").commit("rev"), created=True)


def read_deletion(body: JsonObject) -> Reading:
    """Read a deleted branch or tag."""
    return _pushed(body, before=body.child("msg").commit("rev"), deleted=True)


def _pushed(
    body: JsonObject,
    *,
    before: str | None = None,
    after: str | None = None,
    created: bool = False,
    deleted: bool = False,
    forced: bool | None = None,
) -> Reading:
    message = body.child("msg")
    tag = message.optional_name("tag")
    return accepted(
        NormalisedEvent(
            kind=EventKind.PUSH,
            repository=_repository(message, message.child("repo")),
            ref_type="tag" if tag else "branch",
            branch=None if tag else message.name("branch"),
            tag=tag,
            before=before,
            after=after,
            created=created,
            deleted=deleted,
            forced=forced,
            actor=message.person("agent"),
            occurred_at=body.moment("timestamp"),
        )
    )


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request. `commit_start` is its first commit, the nearest Pagure gives to a base.

    A pull request from another server has no `repo_from`: its head is foreign all the same.
    """
    topic = body.one_of("topic", tuple(_STEPS))
    message = body.child("msg")
    request = message.child("pullrequest")
    raw_state = request.name("status")
    merged = raw_state == "Merged"
    head, base = request.optional_child("repo_from"), request.child("project")
    author = request.optional_child("user")
    state = PullRequestState(
        number=request.number("id"),
        action=topic.removeprefix("pull-request."),
        step=PullRequestStep.MERGED if merged and topic.endswith("closed") else _STEPS[topic],
        state=life_of(is_open=raw_state == "Open", merged=merged),
        raw_state=raw_state,
        merged=merged,
        title=request.optional_text("title", longest=LONGEST_TITLE),
        author=author.person("name") if author else None,
        head_branch=request.optional_name("branch_from"),
        head_sha=request.optional_object_id("commit_stop"),
        head_repository=head.full_name("fullname") if head else None,
        base_branch=request.name("branch"),
        base_sha=request.optional_object_id("commit_start"),
        base_repository=base.full_name("fullname"),
        merged_at=request.moment("closed_at") if merged else None,
        from_fork=lives_elsewhere(head, base, id_key="id", name="fullname"),
        labels=tuple(sorted(set(request.names("tags")))),
        updated_at=request.moment("last_updated"),
    )
    return accepted(
        pull_request_event(
            state,
            repository=_repository(message, base),
            before=None,
            actor=message.person("agent"),
        )
    )


def read_flag(body: JsonObject) -> Reading:
    """Read a commit's flag, Pagure's word for a status; its context is the flag's user name."""
    message = body.child("msg")
    flag = message.child("flag")
    raw_state = flag.name("status")
    status = StatusResult(
        sha=flag.commit("commit_hash"),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context=shortened(flag.name("username"), longest=LONGEST_CONTEXT),
        source_event="commit_flag",
    )
    return accepted(
        status_event(
            status,
            repository=_repository(message, message.child("repo")),
            actor=message.person("agent"),
            occurred_at=body.moment("timestamp"),
        )
    )


def topic_in_body(body: JsonObject) -> str | None:
    """Return the topic, where the body is one of Pagure's messages."""
    return body.name("topic") if body.has("topic") and body.has("msg") else None


def _repository(message: JsonObject, repository: JsonObject) -> RepositoryRef:
    return RepositoryRef(
        host_id=repository.identifier("id"),
        full_name=message.full_name("project_fullname"),
        clone_url=repository.optional_name("full_url"),
        default_branch=repository.optional_name("default_branch"),
    )


_TALK: Final = "discussion, not a change to refs"

DIALECT: Final = Dialect(
    event_headers=("x-pagure-topic",),
    event_in_body=topic_in_body,
    handled={
        **dict.fromkeys(_STEPS, read_pull_request),
        "git.receive": read_receive,
        "git.branch.creation": read_creation,
        "git.branch.deletion": read_deletion,
        "git.tag.creation": read_creation,
        "git.tag.deletion": read_deletion,
        "commit.flag.added": read_flag,
        "commit.flag.updated": read_flag,
    },
    ignored={
        "issue.comment.added": _TALK,
        "issue.comment.edited": _TALK,
        "issue.edit": _TALK,
        "issue.new": _TALK,
        "project.forked": "a fork is another repository",
        "project.new": "a new repository, not governed yet",
        "pull-request.assigned.added": _TALK,
        "pull-request.assigned.reset": _TALK,
        "pull-request.comment.added": _TALK,
        "pull-request.comment.edited": _TALK,
        "pull-request.flag.added": "said again by commit.flag.added",
        "pull-request.flag.updated": "said again by commit.flag.updated",
    },
)
