"""Reads Azure DevOps service hooks: the event's name, its id and its time are all in the body."""

from typing import Final

from reconciliation.webhooks.dialect import (
    NO_COMMIT,
    Dialect,
    Reading,
    accepted,
    life_of,
    moved_ref,
    moved_refs,
    pull_request_event,
    repository_event,
    set_aside,
    status_event,
)
from reconciliation.webhooks.events import (
    LONGEST_CONTEXT,
    LONGEST_TITLE,
    PullRequestState,
    PullRequestStep,
    RepositoryChange,
    RepositoryRef,
    StatusResult,
    StatusState,
)
from reconciliation.webhooks.fields import JsonObject, joined_name, shortened
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.refs import Ref, branch_of, full_ref, object_id

_STEPS: Final = {
    "git.pullrequest.created": PullRequestStep.OPENED,
    "git.pullrequest.updated": PullRequestStep.EDITED,
    "git.pullrequest.merged": PullRequestStep.EDITED,
}
_STATES: Final[dict[str, StatusState]] = {
    "succeeded": "success",
    "partiallysucceeded": "failure",
    "failed": "failure",
    "canceled": "error",
    "stopped": "error",
}


def read_push(body: JsonObject) -> Reading:
    """Read every ref in `refUpdates`."""
    resource = body.child("resource")
    return moved_refs(
        *(
            moved_ref(
                update.ref("name"),
                repository=_repository(resource.child("repository")),
                before=update.object_id("oldObjectId"),
                after=update.object_id("newObjectId"),
                forced=None,
                actor=_person(resource, "pushedBy"),
                occurred_at=body.moment("createdDate"),
            )
            for update in resource.children("refUpdates")
        )
    )


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request.

    `git.pullrequest.merged` says that a merge was tried, often as a trial: only the status
    "completed" means merged. The body has no time of change; that of the event stands for it.
    """
    key = body.one_of("eventType", tuple(_STEPS))
    resource = body.child("resource")
    raw_state = resource.name("status")
    merged = raw_state == "completed"
    fork = resource.optional_child("forkSource")
    head = fork.child("repository") if fork else resource.child("repository")
    repository = _repository(resource.child("repository"))
    state = PullRequestState(
        number=resource.number("pullRequestId"),
        action=key.removeprefix("git.pullrequest."),
        step=_step(key, raw_state=raw_state),
        state=life_of(is_open=raw_state in ("active", "notSet"), merged=merged),
        raw_state=raw_state,
        merged=merged,
        draft=resource.flag("isDraft"),
        title=resource.optional_text("title", longest=LONGEST_TITLE),
        author=_person(resource, "createdBy"),
        head_branch=branch_of(resource.name("sourceRefName"), where=resource.where),
        head_sha=_commit(resource, "lastMergeSourceCommit"),
        head_repository=_full_name(head),
        base_branch=branch_of(resource.name("targetRefName"), where=resource.where),
        base_sha=_commit(resource, "lastMergeTargetCommit"),
        base_repository=repository.full_name,
        merge_sha=_commit(resource, "lastMergeCommit"),
        merged_at=resource.moment("closedDate") if merged else None,
        from_fork=fork is not None or _full_name(head) != repository.full_name,
        labels=tuple(sorted({label.name("name") for label in resource.children("labels")})),
        updated_at=body.moment("createdDate"),
    )
    return accepted(
        pull_request_event(
            state, repository=repository, before=None, actor=_person(resource, "createdBy")
        )
    )


def read_build(body: JsonObject) -> Reading:
    """Read a finished build: `result` since resource version 2.0, `status` in 1.0."""
    resource = body.child("resource")
    raw_state = resource.optional_name("result") or resource.name("status")
    built_ref, sha = _built(resource)
    if sha is None:
        return set_aside(NO_COMMIT)  # A build of TFVC source, or of none.
    definition = resource.optional_child("definition")
    name = definition.optional_name("name") if definition else None
    status = StatusResult(
        sha=sha,
        state=_STATES.get(raw_state.lower(), "error"),
        raw_state=raw_state,
        context=shortened(name or "build", longest=LONGEST_CONTEXT),
        source_event="build",
    )
    repository = resource.optional_child("repository")
    return accepted(
        status_event(
            status,
            repository=RepositoryRef(
                host_id=repository.optional_identifier("id") if repository else None
            ),
            ref=built_ref,
            actor=_person(resource, "requestedFor"),
            occurred_at=resource.moment("finishTime") or body.moment("createdDate"),
        )
    )


def read_repository_renamed(body: JsonObject) -> Reading:
    """Read a new name of a repository."""
    resource = body.child("resource")
    repository = _repository(resource.child("repository"))
    old_name = resource.optional_name("oldName")
    project = resource.child("repository").child("project").name("name")
    change = RepositoryChange(
        action="renamed",
        old_full_name=joined_name(project, old_name) if old_name else None,
        new_full_name=repository.full_name,
    )
    return _repository_changed(body, change, repository)


def read_repository_deleted(body: JsonObject) -> Reading:
    """Read the end of a repository, of which only ids and names are left."""
    resource = body.child("resource")
    project = resource.child("project").name("name")
    repository = RepositoryRef(
        host_id=resource.identifier("repositoryId"),
        full_name=joined_name(project, resource.name("repositoryName")),
    )
    return _repository_changed(body, RepositoryChange(action="deleted"), repository)


def _repository_changed(
    body: JsonObject, change: RepositoryChange, repository: RepositoryRef
) -> Reading:
    return accepted(
        repository_event(
            change,
            repository=repository,
            actor=_person(body.child("resource"), "initiatedBy"),
            occurred_at=body.moment("createdDate"),
        )
    )


def event_in_body(body: JsonObject) -> str | None:
    """Return the event's name."""
    return body.name("eventType")


def delivery_in_body(body: JsonObject) -> str | None:
    """Return the id of the event, which retries keep."""
    return body.optional_identifier("id")


def _repository(repository: JsonObject) -> RepositoryRef:
    default_branch = repository.optional_name("defaultBranch")
    return RepositoryRef(
        host_id=repository.identifier("id"),
        full_name=_full_name(repository),
        clone_url=repository.optional_name("remoteUrl"),
        default_branch=branch_of(default_branch, where=repository.where)
        if default_branch
        else None,
    )


def _full_name(repository: JsonObject) -> str:
    project = repository.child("project").name("name")
    return joined_name(project, repository.name("name"))


def _step(key: str, *, raw_state: str) -> PullRequestStep:
    if raw_state == "completed":
        return PullRequestStep.MERGED
    if raw_state == "abandoned":
        return PullRequestStep.CLOSED
    return _STEPS[key]


def _commit(resource: JsonObject, key: str) -> str | None:
    commit = resource.optional_child(key)
    return commit.optional_object_id("commitId") if commit else None


def _built(resource: JsonObject) -> tuple[Ref | None, str | None]:
    # Newer: sourceBranch and sourceVersion. Older: sourceGetVersion "LG:refs/heads/main:<id>".
    branch, version = (
        resource.optional_name("sourceBranch"),
        resource.optional_name("sourceVersion"),
    )
    legacy = (resource.optional_name("sourceGetVersion") or "").split(":")
    if version is None and len(legacy) == 3:
        branch, version = legacy[1], legacy[2]
    ref = full_ref(branch, where=resource.where) if branch and branch.startswith("refs/") else None
    try:
        return ref, object_id(version or "", where=resource.where)
    except MalformedBody:
        return ref, None  # TFVC writes a changeset ("C34") here: not malformed, not git.


def _person(resource: JsonObject, key: str) -> str | None:
    person = resource.optional_child(key)
    if person is None:
        return None
    return person.person("uniqueName") or person.person("displayName")


_TALK: Final = "discussion, not a change to refs"
_STAGE: Final = "part of a build whose result comes as build.complete"
_WORK: Final = "work items are not code"

DIALECT: Final = Dialect(
    event_in_body=event_in_body,
    delivery_in_body=delivery_in_body,
    handled={
        **dict.fromkeys(_STEPS, read_pull_request),
        "git.push": read_push,
        "build.complete": read_build,
        "git.repo.renamed": read_repository_renamed,
        "git.repo.deleted": read_repository_deleted,
    },
    ignored={
        "git.repo.created": "a new repository, not governed yet",
        "git.repo.forked": "a fork is another repository",
        "git.repo.statuschanged": "a disabled repository refuses the next read, which says so",
        "ms.vss-code.git-pullrequest-comment-event": _TALK,
        "ms.vss-pipelines.job-state-changed-event": _STAGE,
        "ms.vss-pipelines.run-state-changed-event": _STAGE,
        "ms.vss-pipelines.stage-state-changed-event": _STAGE,
        "tfvc.checkin": "not git",
        "workitem.commented": _WORK,
        "workitem.created": _WORK,
        "workitem.deleted": _WORK,
        "workitem.restored": _WORK,
        "workitem.updated": _WORK,
    },
)
