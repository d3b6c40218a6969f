"""The values every dialect ends in: what a host announced, in our words; decides nothing."""

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Final, Literal, get_args

from reconciliation.webhooks.fields import LONGEST_FULL_NAME, JsonObject
from reconciliation.webhooks.refs import RefType


class EventKind(StrEnum):
    """What an announcement is about."""

    PUSH = "push"
    REF_CREATE = "ref_create"
    REF_DELETE = "ref_delete"
    PULL_REQUEST = "pull_request"
    STATUS = "status"
    REPOSITORY = "repository"
    PING = "ping"


class PullRequestStep(StrEnum):
    """What happened to a pull request, where hosts use different words for the same step."""

    OPENED = "opened"
    NEW_COMMITS = "new_commits"
    RETARGETED = "retargeted"
    MERGED = "merged"
    CLOSED = "closed"
    REOPENED = "reopened"
    LABELLED = "labelled"
    EDITED = "edited"


LONGEST_TITLE: Final = 300
LONGEST_CONTEXT: Final = 200

PullRequestLife = Literal["open", "closed", "merged"]
StatusState = Literal["success", "failure", "pending", "error"]
RepositoryAction = Literal[
    "renamed",
    "transferred",
    "default_branch_changed",
    "archived",
    "unarchived",
    "deleted",
    "edited",
]


@dataclass(frozen=True, slots=True)
class RepositoryRef:
    """The repository an event is about. `host_id` survives a rename, `full_name` does not."""

    host_id: str | None = None
    full_name: str | None = None
    clone_url: str | None = None
    default_branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestState:
    """A pull request as the host described it with this event.

    `action` and `raw_state` are the host's words, `step` and `state` ours. Object ids are as given:
    Bitbucket Cloud abbreviates them to 12 digits. `merge_sha` is the merge only when `merged`;
    before that GitHub and Azure DevOps name a trial merge there. `head_branch` is a branch of
    `head_repository`: with `from_fork` it is not a branch of ours, whatever its name.
    """

    number: int
    action: str
    step: PullRequestStep
    state: PullRequestLife
    raw_state: str
    merged: bool
    draft: bool | None = None
    title: str | None = None
    author: str | None = None
    head_branch: str | None = None
    head_sha: str | None = None
    head_repository: str | None = None
    base_branch: str | None = None
    base_sha: str | None = None
    base_repository: str | None = None
    previous_base_branch: str | None = None
    merge_sha: str | None = None
    merged_at: str | None = None
    from_fork: bool = False
    labels: tuple[str, ...] = ()
    updated_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusResult:
    """The result of one gate at one commit. `raw_state` is the host's word, `state` ours.

    `source_event` tells a commit status from a check run, a pipeline or a build of the same name.
    """

    sha: str
    state: StatusState
    raw_state: str
    context: str
    source_event: str
    branches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryChange:
    """What changed about the repository itself; None where the host does not say."""

    action: RepositoryAction
    old_full_name: str | None = None
    new_full_name: str | None = None
    default_branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedEvent:
    """One announced change, the same shape for every host.

    `before` and `after` are None when the ref did not exist on that side *or* the host does not
    say; `created` and `deleted` tell which. `forced` None means that the host does not say. Times
    are ISO 8601 text in UTC. `branch` and `tag` are short names, exactly as git has them.
    """

    kind: EventKind
    repository: RepositoryRef
    ref_type: RefType | None = None
    branch: str | None = None
    tag: str | None = None
    before: str | None = None
    after: str | None = None
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None
    actor: str | None = None
    occurred_at: str | None = None
    pull_request: PullRequestState | None = None
    status: StatusResult | None = None
    change: RepositoryChange | None = None

    def as_json(self) -> dict[str, object]:
        """Return JSON values only, members sorted by name: equal events give equal bytes."""
        return _members_of(self)

    @classmethod
    def from_json(cls, stored: object) -> "NormalisedEvent":
        """Return the event that `as_json` gave; MalformedBody when it is no such value."""
        event = JsonObject.of(stored, where="")
        pull_request = event.optional_child("pull_request")
        status = event.optional_child("status")
        change = event.optional_child("change")
        return cls(
            kind=event.one_of("kind", tuple(EventKind)),
            repository=_repository(event.child("repository")),
            ref_type=event.one_of("ref_type", get_args(RefType)) if event.has("ref_type") else None,
            branch=event.optional_name("branch"),
            tag=event.optional_name("tag"),
            before=event.optional_object_id("before", may_be_short=True),
            after=event.optional_object_id("after", may_be_short=True),
            created=event.flag("created"),
            deleted=event.flag("deleted"),
            forced=event.flag("forced"),
            actor=event.optional_name("actor"),
            occurred_at=event.optional_name("occurred_at"),
            pull_request=_pull_request(pull_request) if pull_request else None,
            status=_status(status) if status else None,
            change=_change(change) if change else None,
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one request announced.

    `outcome` ignored means: understood, nothing to reconcile, answer 2xx; `reason` is a stable
    code. `delivery_id` is the host's own id of the delivery, None where it sends none.
    """

    event_name: str
    delivery_id: str | None
    outcome: Literal["accepted", "ignored"]
    reason: str
    events: tuple[NormalisedEvent, ...]


Record = NormalisedEvent | RepositoryRef | PullRequestState | StatusResult | RepositoryChange


def _members_of(record: Record) -> dict[str, object]:
    names = _names(type(record))  # type: ignore[arg-type]  # a class is hashable
    return {name: _plain(getattr(record, name)) for name in names}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(sorted(field.name for field in fields(kind)))


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return _members_of(value)
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value


def _repository(stored: JsonObject) -> RepositoryRef:
    return RepositoryRef(
        host_id=stored.optional_name("host_id"),
        full_name=_stored_full_name(stored, "full_name"),
        clone_url=stored.optional_name("clone_url"),
        default_branch=stored.optional_name("default_branch"),
    )


def _stored_full_name(stored: JsonObject, key: str) -> str | None:
    return stored.optional_text(key, longest=LONGEST_FULL_NAME)


def _pull_request(stored: JsonObject) -> PullRequestState:
    return PullRequestState(
        number=stored.number("number"),
        action=stored.name("action"),
        step=stored.one_of("step", tuple(PullRequestStep)),
        state=stored.one_of("state", get_args(PullRequestLife)),
        raw_state=stored.name("raw_state"),
        merged=stored.flag("merged") is True,
        draft=stored.flag("draft"),
        title=stored.optional_text("title", longest=LONGEST_TITLE),
        author=stored.optional_name("author"),
        head_branch=stored.optional_name("head_branch"),
        head_sha=stored.optional_object_id("head_sha", may_be_short=True),
        head_repository=_stored_full_name(stored, "head_repository"),
        base_branch=stored.optional_name("base_branch"),
        base_sha=stored.optional_object_id("base_sha", may_be_short=True),
        base_repository=_stored_full_name(stored, "base_repository"),
        previous_base_branch=stored.optional_name("previous_base_branch"),
        merge_sha=stored.optional_object_id("merge_sha", may_be_short=True),
        merged_at=stored.optional_name("merged_at"),
        from_fork=stored.flag("from_fork") is True,
        labels=stored.names("labels"),
        updated_at=stored.optional_name("updated_at"),
    )


def _status(stored: JsonObject) -> StatusResult:
    return StatusResult(
        sha=stored.name("sha"),
        state=stored.one_of("state", get_args(StatusState)),
        raw_state=stored.name("raw_state"),
        context=stored.name("context"),
        source_event=stored.name("source_event"),
        branches=stored.names("branches"),
    )


def _change(stored: JsonObject) -> RepositoryChange:
    return RepositoryChange(
        action=stored.one_of("action", get_args(RepositoryAction)),
        old_full_name=_stored_full_name(stored, "old_full_name"),
        new_full_name=_stored_full_name(stored, "new_full_name"),
        default_branch=stored.optional_name("default_branch"),
    )
