"""Reads sources that speak our own words in Standard Webhooks envelopes, and Pagure beside them.

The envelope is `{"type": …, "timestamp": …, "data": {…}}` (standardwebhooks.com); `data` always
holds `repository` (id, full_name, clone_url, default_branch; all optional but one of the first two)
and may hold `actor`. By type it adds:

- `push`: `refs`, a list of {ref (full name), before, after (null = did not exist), forced};
- `pull_request`: `pull_request` {number, action, state, draft, title, author, head and base
  {branch, sha, repository}, previous_base_branch, merge_sha, merged_at, from_fork, labels,
  updated_at}; action is one of opened, new_commits, retargeted, merged, closed, reopened, labelled,
  edited, and state one of open, closed, merged;
- `status`: `status` {sha, state (success, failure, pending, error), context, branch};
- `repository`: `change` {action, old_full_name, new_full_name, default_branch};
- `ping`: nothing.
"""

from typing import Final, get_args

from reconciliation.webhooks import pagure
from reconciliation.webhooks.dialect import (
    Dialect,
    Reading,
    accepted,
    moved_ref,
    moved_refs,
    ping_event,
    pull_request_event,
    repository_event,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    LONGEST_TITLE,
    PullRequestLife,
    PullRequestState,
    PullRequestStep,
    RepositoryAction,
    RepositoryChange,
    RepositoryRef,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, shortened
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.refs import Ref


def read_push(body: JsonObject) -> Reading:
    """Read every ref of a push."""
    data = body.child("data")
    return moved_refs(
        *(
            moved_ref(
                moved.ref("ref"),
                repository=_repository(data),
                before=moved.optional_object_id("before"),
                after=moved.optional_object_id("after"),
                forced=moved.flag("forced"),
                actor=data.person("actor"),
                occurred_at=body.moment("timestamp"),
            )
            for moved in data.children("refs")
        )
    )


def _is_from_fork(said: bool | None, head: str | None, base: str | None) -> bool:
    """Tell whether a head is elsewhere: the sender says so, or the names it gives differ."""
    if said is None:
        return head != base
    return said or (head is not None and base is not None and head != base)


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request in our own words."""
    data = body.child("data")
    request = data.child("pull_request")
    head, base = request.child("head"), request.child("base")
    step = request.one_of("action", tuple(PullRequestStep))
    life = request.one_of("state", get_args(PullRequestLife))
    head_repository, base_repository = (
        head.optional_full_name("repository"),
        base.optional_full_name("repository"),
    )
    from_fork = request.flag("from_fork")
    state = PullRequestState(
        number=request.number("number"),
        action=step.value,
        step=step,
        state=life,
        raw_state=life,
        merged=life == "merged",
        draft=request.flag("draft"),
        title=request.optional_text("title", longest=LONGEST_TITLE),
        author=request.person("author"),
        head_branch=head.name("branch"),
        head_sha=head.optional_object_id("sha"),
        head_repository=head_repository,
        base_branch=base.name("branch"),
        base_sha=base.optional_object_id("sha"),
        base_repository=base_repository,
        previous_base_branch=request.optional_name("previous_base_branch"),
        merge_sha=request.optional_object_id("merge_sha"),
        merged_at=request.moment("merged_at"),
        from_fork=_is_from_fork(from_fork, head_repository, base_repository),
        labels=tuple(sorted(set(request.names("labels")))),
        updated_at=request.moment("updated_at") or body.moment("timestamp"),
    )
    return accepted(
        pull_request_event(
            state,
            repository=_repository(data),
            before=request.optional_object_id("previous_head_sha"),
            actor=data.person("actor"),
        )
    )


def read_status(body: JsonObject) -> Reading:
    """Read a gate's result."""
    data = body.child("data")
    given = data.child("status")
    branch = given.optional_name("branch")
    state = given.one_of("state", get_args(StatusState))
    status = StatusResult(
        sha=given.commit("sha"),
        state=state,
        raw_state=state,
        context=shortened(given.name("context"), longest=LONGEST_CONTEXT),
        source_event="status",
        branches=(branch,) if branch else (),
    )
    return accepted(
        status_event(
            status,
            repository=_repository(data),
            ref=Ref("branch", branch) if branch else None,
            actor=data.person("actor"),
            occurred_at=body.moment("timestamp"),
        )
    )


def read_repository(body: JsonObject) -> Reading:
    """Read a change to the repository itself."""
    data = body.child("data")
    given = data.child("change")
    change = RepositoryChange(
        action=given.one_of("action", get_args(RepositoryAction)),
        old_full_name=given.optional_full_name("old_full_name"),
        new_full_name=given.optional_full_name("new_full_name"),
        default_branch=given.optional_name("default_branch"),
    )
    return accepted(
        repository_event(
            change,
            repository=_repository(data),
            actor=data.person("actor"),
            occurred_at=body.moment("timestamp"),
        )
    )


def read_ping(body: JsonObject) -> Reading:
    """Read a test, which need not name a repository."""
    data = body.optional_child("data")
    named = data is not None and data.has("repository")
    repository = _repository(data) if data is not None and named else RepositoryRef()
    return accepted(ping_event(repository, actor=data.person("actor") if data else None))


def event_in_body(body: JsonObject) -> str | None:
    """Return Pagure's topic or the envelope's type."""
    return pagure.topic_in_body(body) or body.optional_name("type")


def delivery_in_body(body: JsonObject) -> str | None:
    """Return the id of a Pagure message; envelopes carry theirs in the webhook-id header."""
    return body.optional_identifier("msg_id")


def _repository(data: JsonObject) -> RepositoryRef:
    repository = data.child("repository")
    if not repository.has("id") and not repository.has("full_name"):
        raise MalformedBody("missing", "neither id nor full_name", where=repository.where)
    return RepositoryRef(
        host_id=repository.optional_identifier("id"),
        full_name=repository.optional_full_name("full_name"),
        clone_url=repository.optional_name("clone_url"),
        default_branch=repository.optional_name("default_branch"),
    )


DIALECT: Final = Dialect(
    event_headers=pagure.DIALECT.event_headers,
    event_in_body=event_in_body,
    delivery_headers=("webhook-id",),
    delivery_in_body=delivery_in_body,
    handled={
        **pagure.DIALECT.handled,
        "push": read_push,
        "pull_request": read_pull_request,
        "status": read_status,
        "repository": read_repository,
        "ping": read_ping,
    },
    ignored=pagure.DIALECT.ignored,
)
