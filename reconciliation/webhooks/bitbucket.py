"""Reads Bitbucket Cloud's webhooks; one push may move many refs, or none."""

from typing import Final

from reconciliation.webhooks.dialect import (
    Dialect,
    Reading,
    accepted,
    life_of,
    moved_ref,
    moved_refs,
    name_change,
    pull_request_event,
    repository_event,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    LONGEST_TITLE,
    NormalisedEvent,
    PullRequestState,
    PullRequestStep,
    RepositoryChange,
    RepositoryRef,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, lives_elsewhere, shortened
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.refs import Ref, object_id

_REF_KINDS: Final = {
    "branch": "branch",
    "named_branch": "branch",
    "tag": "tag",
    "annotated_tag": "tag",
}
_STATES: Final[dict[str, StatusState]] = {
    "SUCCESSFUL": "success",
    "FAILED": "failure",
    "INPROGRESS": "pending",
    "STOPPED": "error",
}


def read_push(body: JsonObject) -> Reading:
    """Read every ref in `push.changes`."""
    changes = body.child("push").children("changes")
    return moved_refs(*(_moved(change, body=body) for change in changes))


def _moved(change: JsonObject, *, body: JsonObject) -> NormalisedEvent | None:
    old, new = change.optional_child("old"), change.optional_child("new")
    side = new or old
    if side is None:
        raise MalformedBody("missing", "neither old nor new", where=change.where)
    kind = _REF_KINDS.get(side.name("type"))
    return moved_ref(
        Ref("tag" if kind == "tag" else "branch" if kind else None, side.name("name")),
        repository=_repository(body.child("repository")),
        before=old.child("target").commit("hash") if old else None,
        after=new.child("target").commit("hash") if new else None,
        forced=change.flag("forced"),
        actor=_actor(body),
        occurred_at=change.moment("date"),
    )


def _read_pull_request(body: JsonObject, action: str, step: PullRequestStep) -> Reading:
    request = body.child("pullrequest")
    source, destination = request.child("source"), request.child("destination")
    head, base = source.optional_child("repository"), destination.child("repository")
    raw_state = request.name("state")
    merged = raw_state == "MERGED"
    merge = request.optional_child("merge_commit")
    author = request.optional_child("author")
    state = PullRequestState(
        number=request.number("id"),
        action=action,
        step=step,
        state=life_of(is_open=raw_state == "OPEN", merged=merged),
        raw_state=raw_state,
        merged=merged,
        draft=request.flag("draft"),
        title=request.optional_text("title", longest=LONGEST_TITLE),
        author=_name_of(author) if author else None,
        head_branch=_branch_name(source),
        head_sha=_short_id(source),
        head_repository=head.full_name("full_name") if head else None,
        base_branch=_branch_name(destination),
        base_sha=_short_id(destination),
        base_repository=base.full_name("full_name"),
        merge_sha=merge.optional_object_id("hash", may_be_short=True) if merge else None,
        from_fork=lives_elsewhere(head, base, id_key="uuid", name="full_name"),
        updated_at=request.moment("updated_on"),
    )
    return accepted(
        pull_request_event(
            state,
            repository=_repository(body.child("repository")),
            before=None,
            actor=_actor(body),
        )
    )


def read_created(body: JsonObject) -> Reading:
    """Read a new pull request."""
    return _read_pull_request(body, "created", PullRequestStep.OPENED)


def read_updated(body: JsonObject) -> Reading:
    """Read a changed pull request; Bitbucket does not say whether commits, base or text changed."""
    return _read_pull_request(body, "updated", PullRequestStep.EDITED)


def read_fulfilled(body: JsonObject) -> Reading:
    """Read a merged pull request."""
    return _read_pull_request(body, "fulfilled", PullRequestStep.MERGED)


def read_rejected(body: JsonObject) -> Reading:
    """Read a declined pull request."""
    return _read_pull_request(body, "rejected", PullRequestStep.CLOSED)


def read_commit_status(body: JsonObject) -> Reading:
    """Read a build's result; older bodies name the commit only in a link."""
    given = body.child("commit_status")
    raw_state = given.name("state")
    branch = given.optional_name("refname")
    status = StatusResult(
        sha=_built_commit(given),
        state=_STATES.get(raw_state, "error"),
        raw_state=raw_state,
        context=shortened(given.name("key"), longest=LONGEST_CONTEXT),
        source_event="commit_status",
        branches=(branch,) if branch else (),
    )
    return accepted(
        status_event(
            status,
            repository=_repository(body.child("repository")),
            ref=Ref("branch", branch) if branch else None,
            actor=_actor(body),
            occurred_at=given.moment("updated_on"),
        )
    )


def read_repository_updated(body: JsonObject) -> Reading:
    """Read changed settings; a new full name among them is a rename or a transfer."""
    changes = body.optional_child("changes")
    renamed = changes.optional_child("full_name") if changes else None
    change = RepositoryChange(action="edited")
    if renamed is not None:
        change = name_change(renamed.name("old"), renamed.name("new"))
    return _repository_changed(body, change)


def read_repository_transfer(body: JsonObject) -> Reading:
    """Read a transfer to another workspace; the old name is not in it."""
    new_full_name = body.child("repository").full_name("full_name")
    change = RepositoryChange(action="transferred", new_full_name=new_full_name)
    return _repository_changed(body, change)


def read_repository_deleted(body: JsonObject) -> Reading:
    """Read the end of a repository."""
    return _repository_changed(body, RepositoryChange(action="deleted"))


def _repository_changed(body: JsonObject, change: RepositoryChange) -> Reading:
    repository = _repository(body.child("repository"))
    return accepted(
        repository_event(change, repository=repository, actor=_actor(body), occurred_at=None)
    )


def _repository(repository: JsonObject) -> RepositoryRef:
    links = repository.optional_child("links")
    page = links.optional_child("html") if links else None
    main_branch = repository.optional_child("mainbranch")
    return RepositoryRef(
        host_id=repository.identifier("uuid"),
        full_name=repository.full_name("full_name"),
        # No clone link is sent; Bitbucket serves git at the page's own address.
        clone_url=page.optional_name("href") if page else None,
        default_branch=main_branch.optional_name("name") if main_branch else None,
    )


def _actor(body: JsonObject) -> str | None:
    actor = body.optional_child("actor")
    return _name_of(actor) if actor else None


def _name_of(account: JsonObject) -> str | None:
    # Newest first: `username` was withdrawn for people, and is still sent for teams.
    for key in ("nickname", "username", "display_name"):
        name = account.person(key)
        if name is not None:
            return name
    return None


def _branch_name(side: JsonObject) -> str | None:
    branch = side.optional_child("branch")
    return branch.optional_name("name") if branch else None


def _short_id(side: JsonObject) -> str | None:
    commit = side.optional_child("commit")
    return commit.optional_object_id("hash", may_be_short=True) if commit else None


def _built_commit(status: JsonObject) -> str:
    commit = status.optional_child("commit")
    if commit is not None:
        return commit.commit("hash")
    link = status.child("links").child("commit")
    found = object_id(link.name("href").rstrip("/").rpartition("/")[2], where=link.where)
    if found is None:
        raise MalformedBody("bad_object_id", "the null id", where=link.where)
    return found


_TALK: Final = "discussion, not a change to refs"

DIALECT: Final = Dialect(
    event_headers=("x-event-key",),
    delivery_headers=("x-request-uuid",),
    handled={
        "repo:push": read_push,
        "pullrequest:created": read_created,
        "pullrequest:updated": read_updated,
        "pullrequest:fulfilled": read_fulfilled,
        "pullrequest:rejected": read_rejected,
        "repo:commit_status_created": read_commit_status,
        "repo:commit_status_updated": read_commit_status,
        "repo:updated": read_repository_updated,
        "repo:transfer": read_repository_transfer,
        "repo:deleted": read_repository_deleted,
    },
    ignored={
        "issue:comment_created": _TALK,
        "issue:created": _TALK,
        "issue:updated": _TALK,
        "project:updated": "a project is no repository; its repositories announce their own moves",
        "pullrequest:approved": _TALK,
        "pullrequest:changes_request_created": _TALK,
        "pullrequest:changes_request_removed": _TALK,
        "pullrequest:comment_created": _TALK,
        "pullrequest:comment_deleted": _TALK,
        "pullrequest:comment_reopened": _TALK,
        "pullrequest:comment_resolved": _TALK,
        "pullrequest:comment_updated": _TALK,
        "pullrequest:push": "said again by repo:push and pullrequest:updated",
        "pullrequest:unapproved": _TALK,
        "repo:commit_comment_created": _TALK,
        "repo:created": "a new repository, not governed yet",
        "repo:fork": "a fork is another repository",
        "repo:imported": "a new repository, not governed yet",
    },
)
