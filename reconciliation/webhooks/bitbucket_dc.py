"""Reads the webhooks of Bitbucket Data Center (and Server before it)."""

from typing import Final

from reconciliation.webhooks.dialect import (
    Dialect,
    Reading,
    accepted,
    life_of,
    moved_ref,
    moved_refs,
    name_change,
    ping_event,
    pull_request_event,
    repository_event,
)
from reconciliation.webhooks.events import (
    LONGEST_TITLE,
    PullRequestState,
    PullRequestStep,
    RepositoryRef,
)
from reconciliation.webhooks.fields import JsonObject, joined_name
from reconciliation.webhooks.refs import branch_of

_STEPS: Final = {
    "pr:opened": PullRequestStep.OPENED,
    "pr:reopened": PullRequestStep.REOPENED,
    "pr:from_ref_updated": PullRequestStep.NEW_COMMITS,
    "pr:to_ref_updated": PullRequestStep.EDITED,
    "pr:modified": PullRequestStep.EDITED,
    "pr:merged": PullRequestStep.MERGED,
    "pr:declined": PullRequestStep.CLOSED,
    "pr:deleted": PullRequestStep.CLOSED,
}


def read_refs_changed(body: JsonObject) -> Reading:
    """Read every ref of a push, or of a mirror that caught up (`refLimitExceeded` cuts those)."""
    return moved_refs(
        *(
            moved_ref(
                change.child("ref").ref("id"),
                repository=_repository(body.child("repository")),
                before=change.object_id("fromHash"),
                after=change.object_id("toHash"),
                forced=None,
                actor=_actor(body),
                occurred_at=body.moment("date"),
            )
            for change in body.children("changes")
        )
    )


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request; the event's key names the step."""
    key = body.one_of("eventKey", tuple(_STEPS))
    request = body.child("pullRequest")
    source, target = request.child("fromRef"), request.child("toRef")
    head, base = source.child("repository"), target.child("repository")
    raw_state = request.name("state")
    merged = raw_state == "MERGED"
    previous_base = _previous_base(body, current=_branch(target))
    step = PullRequestStep.RETARGETED if previous_base else _STEPS[key]
    author = request.optional_child("author")
    state = PullRequestState(
        number=request.number("id"),
        action=key.removeprefix("pr:"),
        step=step,
        state=life_of(is_open=raw_state == "OPEN" and key != "pr:deleted", merged=merged),
        raw_state=raw_state,
        merged=merged,
        draft=request.flag("draft"),
        title=request.optional_text("title", longest=LONGEST_TITLE),
        author=author.child("user").person("name") if author else None,
        head_branch=_branch(source),
        head_sha=source.optional_object_id("latestCommit"),
        head_repository=_full_name(head),
        base_branch=_branch(target),
        base_sha=target.optional_object_id("latestCommit"),
        base_repository=_full_name(base),
        previous_base_branch=previous_base,
        merge_sha=_merge_commit(request),
        merged_at=request.moment("closedDate") if merged else None,
        from_fork=(
            head.identifier("id") != base.identifier("id") or _full_name(head) != _full_name(base)
        ),
        updated_at=request.moment("updatedDate"),
    )
    return accepted(
        pull_request_event(
            state,
            repository=_repository(base),
            before=body.optional_object_id("previousFromHash"),
            actor=_actor(body),
        )
    )


def read_repository_modified(body: JsonObject) -> Reading:
    """Read a new name or project of a repository; the id stays."""
    new = body.child("new")
    return accepted(
        repository_event(
            name_change(_full_name(body.child("old")), _full_name(new)),
            repository=_repository(new),
            actor=_actor(body),
            occurred_at=body.moment("date"),
        )
    )


def read_ping(body: JsonObject) -> Reading:
    """Read the hook's connection test, which is `{"test": true}` and no more."""
    return accepted(ping_event(RepositoryRef(), actor=_actor(body)))


def event_in_body(body: JsonObject) -> str | None:
    """Return the event's key; the connection test has none in its body."""
    return body.optional_name("eventKey")


def _repository(repository: JsonObject) -> RepositoryRef:
    return RepositoryRef(
        host_id=repository.identifier("id"),
        full_name=_full_name(repository),
        clone_url=_clone_url(repository),
    )


def _full_name(repository: JsonObject) -> str:
    project = repository.child("project").name("key")
    return joined_name(project, repository.name("slug"))


def _clone_url(repository: JsonObject) -> str | None:
    # Older servers send no links at all; newer ones list http and ssh in any order.
    links = repository.optional_child("links")
    clones = links.children("clone") if links else ()
    for clone in clones:
        if clone.optional_name("name") in ("http", "https"):
            return clone.name("href")
    return None


def _branch(ref: JsonObject) -> str:
    return branch_of(ref.name("id"), where=ref.where)


def _previous_base(body: JsonObject, *, current: str) -> str | None:
    target = body.optional_child("previousTarget")
    if target is None:
        return None
    previous = _branch(target)
    return previous if previous != current else None  # Always sent, also when the title changed.


def _merge_commit(request: JsonObject) -> str | None:
    properties = request.optional_child("properties")
    merge = properties.optional_child("mergeCommit") if properties else None
    return merge.optional_object_id("id") if merge else None


def _actor(body: JsonObject) -> str | None:
    actor = body.optional_child("actor")
    return actor.person("name") if actor else None


_TALK: Final = "discussion, not a change to refs"

DIALECT: Final = Dialect(
    event_headers=("x-event-key",),
    event_in_body=event_in_body,
    delivery_headers=("x-request-id",),
    handled={
        **dict.fromkeys(_STEPS, read_pull_request),
        "repo:refs_changed": read_refs_changed,
        "mirror:repo_synchronized": read_refs_changed,
        "repo:modified": read_repository_modified,
        "diagnostics:ping": read_ping,
    },
    ignored={
        "pr:comment:added": _TALK,
        "pr:comment:deleted": _TALK,
        "pr:comment:edited": _TALK,
        "pr:reviewer:approved": _TALK,
        "pr:reviewer:changes_requested": _TALK,
        "pr:reviewer:needs_work": _TALK,
        "pr:reviewer:unapproved": _TALK,
        "pr:reviewer:updated": _TALK,
        "project:modified": "a project is no repository; its repositories announce their own moves",
        "repo:comment:added": _TALK,
        "repo:comment:deleted": _TALK,
        "repo:comment:edited": _TALK,
        "repo:forked": "a fork is another repository",
        "repo:secret_detected": "security findings have their own tools",
    },
)
