"""Says what a dialect is: two tables and the few places where its host writes names and ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciliation.webhooks.events import (
    EventKind,
    NormalisedEvent,
    PullRequestLife,
    PullRequestState,
    RepositoryAction,
    RepositoryChange,
    RepositoryRef,
    StatusResult,
)
from reconciliation.webhooks.fields import JsonObject
from reconciliation.webhooks.refs import Ref

OK = "ok"
ACTION_NOT_RECONCILED = "action_not_reconciled"
NO_REF_CHANGED = "no_ref_changed"
OTHER_REF = "ref_outside_branches_and_tags"
NO_COMMIT = "no_commit_named"
KNOWINGLY_IGNORED = "knowingly_ignored"
UNKNOWN_EVENT = "unknown_event"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one body said: its events, or none and the stable code that says why."""

    events: tuple[NormalisedEvent, ...]
    reason: str


Reader = Callable[[JsonObject], Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of host announces things.

    `handled` maps an event's name to its reader, `ignored` maps the events we know and leave alone
    to the reason why; a name in neither is unknown. Both kinds are answered 2xx.
    `event_in_body` is for hosts that sign the name in the body: it wins over the header, which no
    signature covers.
    """

    handled: Mapping[str, Reader]
    ignored: Mapping[str, str]
    event_headers: tuple[str, ...] = ()
    delivery_headers: tuple[str, ...] = ()
    event_in_body: Callable[[JsonObject], str | None] | None = None
    delivery_in_body: Callable[[JsonObject], str | None] | None = None
    may_be_form: bool = False


def accepted(*events: NormalisedEvent) -> Reading:
    """Return a reading with events."""
    return Reading(events, OK)


def set_aside(reason: str) -> Reading:
    """Return a reading that was understood and holds nothing to reconcile."""
    return Reading((), reason)


def moved_refs(*events: NormalisedEvent | None) -> Reading:
    """Return the refs that moved; refs of other kinds are None here and are left out."""
    branches_and_tags = tuple(event for event in events if event is not None)
    if branches_and_tags:
        return Reading(branches_and_tags, OK)
    return set_aside(OTHER_REF if events else NO_REF_CHANGED)


def moved_ref(
    ref: Ref,
    *,
    repository: RepositoryRef,
    before: str | None,
    after: str | None,
    forced: bool | None,
    actor: str | None,
    occurred_at: str | None,
) -> NormalisedEvent | None:
    """Return the push of one ref, None for refs that are neither branch nor tag.

    Created and deleted are read from the ids, which every host that sends both gets right.
    """
    if ref.kind is None:
        return None
    return NormalisedEvent(
        kind=EventKind.PUSH,
        repository=repository,
        ref_type=ref.kind,
        branch=ref.name if ref.kind == "branch" else None,
        tag=ref.name if ref.kind == "tag" else None,
        before=before,
        after=after,
        created=before is None and after is not None,
        deleted=after is None,
        forced=forced,
        actor=actor,
        occurred_at=occurred_at,
    )


def pull_request_event(
    pull_request: PullRequestState,
    *,
    repository: RepositoryRef,
    before: str | None,
    actor: str | None,
) -> NormalisedEvent:
    """Return the event of a pull request; its branch is the head branch, wherever that lives."""
    return NormalisedEvent(
        kind=EventKind.PULL_REQUEST,
        repository=repository,
        ref_type="branch" if pull_request.head_branch else None,
        branch=pull_request.head_branch,
        before=before,
        after=pull_request.head_sha,
        actor=actor,
        occurred_at=pull_request.updated_at,
        pull_request=pull_request,
    )


def status_event(
    status: StatusResult,
    *,
    repository: RepositoryRef,
    ref: Ref | None = None,
    before: str | None = None,
    actor: str | None,
    occurred_at: str | None,
) -> NormalisedEvent:
    """Return the event of a gate's result, on a branch or tag only where the host names one."""
    kind = ref.kind if ref else None
    return NormalisedEvent(
        kind=EventKind.STATUS,
        repository=repository,
        ref_type=kind,
        branch=ref.name if ref and kind == "branch" else None,
        tag=ref.name if ref and kind == "tag" else None,
        before=before,
        after=status.sha,
        actor=actor,
        occurred_at=occurred_at,
        status=status,
    )


def repository_event(
    change: RepositoryChange,
    *,
    repository: RepositoryRef,
    actor: str | None,
    occurred_at: str | None,
) -> NormalisedEvent:
    """Return the event of a change to the repository itself."""
    return NormalisedEvent(
        kind=EventKind.REPOSITORY,
        repository=repository,
        actor=actor,
        occurred_at=occurred_at,
        change=change,
    )


def ping_event(repository: RepositoryRef, *, actor: str | None) -> NormalisedEvent:
    """Return the event of a hook's test; an organisation's hook names no repository."""
    return NormalisedEvent(kind=EventKind.PING, repository=repository, actor=actor)


def name_change(old: str, new: str) -> RepositoryChange:
    """Return what a change of full name means: another owner is a transfer, else a rename."""
    if old == new:
        return RepositoryChange(action="edited", old_full_name=old, new_full_name=new)
    action: RepositoryAction = "renamed"
    if old.rpartition("/")[0] != new.rpartition("/")[0]:
        action = "transferred"
    return RepositoryChange(action=action, old_full_name=old, new_full_name=new)


def life_of(*, is_open: bool, merged: bool) -> PullRequestLife:
    """Return the state of a pull request; merged outranks whatever the host calls open."""
    if merged:
        return "merged"
    return "open" if is_open else "closed"
