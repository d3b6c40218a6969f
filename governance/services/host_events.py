"""Stores what hosts announce besides heads: pull requests, gate results, changed names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from governance.models import GateResult, PullRequest, Repository


@dataclass(frozen=True, slots=True)
class AnnouncedPullRequest:
    """A pull request as a host announced it; empty text where the host does not say."""

    repository_id: int
    number: int
    title: str
    author: str
    state: str
    head_branch: str
    head_sha: str
    head_repository: str
    from_fork: bool
    base_branch: str
    base_sha: str
    merge_sha: str
    merged_at: datetime | None
    labels: tuple[str, ...]
    host_updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class AnnouncedGate:
    """A gate result at a commit."""

    repository_id: int
    sha: str
    context: str
    state: str


def record_pull_requests(announced: Sequence[AnnouncedPullRequest], *, now: datetime) -> None:
    """Store pull requests; events come in any order, so an older one never undoes a newer one."""
    for one in announced:
        row, created = PullRequest.objects.select_for_update().get_or_create(
            repository_id=one.repository_id,
            number=one.number,
            defaults={"state": one.state, "seen_at": now},
        )
        is_older = (
            not created
            and row.host_updated_at is not None
            and one.host_updated_at is not None
            and one.host_updated_at < row.host_updated_at
        )
        if is_older:
            continue
        for field in ("title", "author", "head_sha", "head_repository", "base_sha", "merge_sha"):
            setattr(row, field, getattr(one, field)[:300] or getattr(row, field))
        row.head_branch = one.head_branch or row.head_branch
        row.base_branch = one.base_branch or row.base_branch
        row.state = one.state
        row.from_fork = one.from_fork
        row.merged_at = one.merged_at or row.merged_at or (now if one.state == "merged" else None)
        row.labels = sorted(one.labels)
        row.host_updated_at = one.host_updated_at or row.host_updated_at
        row.seen_at = now
        row.save()


def record_gates(announced: Sequence[AnnouncedGate], *, now: datetime) -> None:
    """Store the newest result of each gate at each commit."""
    newest = {(one.repository_id, one.sha, one.context[:200]): one.state for one in announced}
    GateResult.objects.bulk_create(
        [
            GateResult(repository_id=pk, sha=sha, context=context, state=state, seen_at=now)
            for (pk, sha, context), state in sorted(newest.items())
        ],
        update_conflicts=True,
        unique_fields=["repository", "sha", "context"],
        update_fields=["state", "seen_at"],
    )


def record_repository_facts(
    repository_id: int,
    *,
    host_repository_id: str,
    full_name: str,
    clone_url: str,
    default_branch: str,
) -> dict[str, tuple[str, str]]:
    """Store a repository's name and address as announced; return what changed, `(old, new)`.

    The stable id decides who it is: a rename keeps the history. The clone URL follows only when
    the old one ended in the old name, so that a deliberately set address stays.
    """
    row = Repository.objects.select_for_update().get(pk=repository_id)
    changed: dict[str, tuple[str, str]] = {}
    for field, value in (
        ("host_repository_id", host_repository_id),
        ("full_name", full_name),
        ("default_branch", default_branch),
    ):
        old = getattr(row, field)
        if value and value != old:
            changed[field] = (old, value)
            setattr(row, field, value)
    old_name = changed.get("full_name", ("", ""))[0]
    if old_name and clone_url and row.clone_url.removesuffix(".git").endswith(old_name):
        changed["clone_url"] = (row.clone_url, clone_url)
        row.clone_url = clone_url
    if changed:
        row.save(update_fields=sorted(changed))
    return changed
