"""Decides what an announcement asks for: whose heads are to be read, and why; stores nothing.

Intake asks when a delivery arrives, a replay asks again with the same words.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from governance.selectors.branch_facts import (
    RepositoryRow,
    repositories_by_id,
    repository_of_host,
)
from governance.selectors.host_repositories import repository_without_host_id
from reconciliation.domain.identity import announcement_subject
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import DeliveryOutcome, Origin, TaskKind
from reconciliation.services.queue import PRIORITY_EVENT, Planned
from reconciliation.webhooks.events import (
    Announcement,
    EventKind,
    NormalisedEvent,
    RepositoryRef,
)
from reconciliation.webhooks.hosts import HostKind

ABOUT_ANOTHER = (
    "it is about another repository of its host: heads are read, no facts are taken over"
)
_CACHE_SECONDS = 5
_LONGEST_SUBJECT = 500
_cache: dict[tuple[int, str, str], tuple[float, RepositoryRow]] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an announcement asks for; no subject means nothing, and `reason` says why."""

    repository: RepositoryRow | None
    subject: str
    reason: str
    is_understood: bool = True

    @property
    def outcome(self) -> DeliveryOutcome:
        """What the delivery is kept as."""
        if not self.is_understood:
            return DeliveryOutcome.MALFORMED
        return DeliveryOutcome.ACCEPTED if self.subject else DeliveryOutcome.IGNORED

    @property
    def is_about_another(self) -> bool:
        """The source belongs to one repository and the announcement is about another one.

        A hint all the same: its heads are read. What else is announced is not stored as its own.
        """
        return self.reason == ABOUT_ANOTHER


def wanted_by(
    announcement: Announcement,
    *,
    tenant_id: int,
    host: HostKind,
    own_repository: RepositoryRow | None,
) -> Wanted:
    """Return what an announcement asks for, of the source's own repository or of the one it names.

    The host's stable id decides which repository is meant: names change hands.
    """
    subject = _subject(announcement.events)
    if not subject:
        return Wanted(own_repository, "", announcement.reason)
    repository = own_repository or _repository_named(announcement, tenant_id=tenant_id, host=host)
    if repository is None:
        return Wanted(None, "", "no governed repository has this host id")
    if not repository.is_active:
        return Wanted(repository, "", "the repository is switched off")
    is_another = _names_another(announcement, repository, host)
    return Wanted(repository, subject, ABOUT_ANOTHER if is_another else announcement.reason)


def observation_for(
    wanted: Wanted, *, correlation_id: str, run_after: datetime, announced_at: datetime
) -> Planned | None:
    """Return the task that reads the repository's heads, or None when nothing is asked for."""
    repository = wanted.repository
    if repository is None or not wanted.subject:
        return None
    return Planned(
        item=WorkItem(
            tenant=repository.tenant,
            workspace=repository.workspace,
            repo=repository.slug,
            branch="",
            task_kind=TaskKind.OBSERVE_REFS,
            about=wanted.subject,
        ),
        repository_id=repository.id,
        correlation_id=correlation_id,
        origin=Origin.WEBHOOK,
        priority=PRIORITY_EVENT,
        run_after=run_after,
        announced_at=announced_at,
    )


def forget_cached_repositories() -> None:
    """Drop what this process remembers of repositories found by their host's id."""
    _cache.clear()


def _repository_named(
    announcement: Announcement, *, tenant_id: int, host: HostKind
) -> RepositoryRow | None:
    for named in {event.repository: None for event in announcement.events}:
        key = (tenant_id, host.value, named.host_id or "")
        cached = _cache.get(key)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        found = _find(named, tenant_id=tenant_id, host=host)
        if found is not None:
            row = repositories_by_id([found])[found]
            if len(_cache) > 10_000:
                _cache.clear()
            if named.host_id:
                _cache[key] = (time.monotonic() + _CACHE_SECONDS, row)
            return row
    return None


def _find(named: RepositoryRef, *, tenant_id: int, host: HostKind) -> int | None:
    found = None
    if named.host_id:
        found = repository_of_host(
            tenant_id=tenant_id, host_kind=host.value, host_repository_id=named.host_id
        )
    # A repository that was connected by its address and never heard of: its first delivery tells
    # the id, and from then on only the id counts.
    return found or repository_without_host_id(
        tenant_id=tenant_id, full_name=named.full_name or "", clone_url=named.clone_url or ""
    )


def _names_another(announcement: Announcement, repository: RepositoryRow, host: HostKind) -> bool:
    # Ids of two kinds of hosts say nothing about each other.
    known = repository.host_repository_id if repository.host_kind == host.value else ""
    named = {event.repository.host_id for event in announcement.events} - {None, ""}
    return bool(known and named and known not in named)


def _subject(events: tuple[NormalisedEvent, ...]) -> str:
    moves = [
        (event.branch, event.before, event.after)
        for event in events
        if event.branch and event.kind in {EventKind.PUSH, EventKind.REF_DELETE}
    ]
    others = sorted({_subject_of(event) for event in events} - {""})
    parts = ([announcement_subject(moves)] if moves else []) + others
    return " ".join(parts)[:_LONGEST_SUBJECT]


def _subject_of(event: NormalisedEvent) -> str:
    request = event.pull_request
    if request is not None:
        return (
            f"pull_request #{request.number} {request.step.value} {request.head_sha or '-'}"
            f" {request.base_branch or '-'}"
        )
    if event.status is not None:
        return f"status {event.status.sha} {event.status.context} {event.status.state}"
    if event.change is not None:
        return f"repository {event.change.action} {event.change.new_full_name or '-'}"
    if event.kind is EventKind.REF_CREATE and event.branch:
        return f"create {event.branch}"
    return ""
