"""Stores what hosts announce besides heads: pull requests, gate results, changed names."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from audit.setwise import insert_rows
from governance.models import GateResult, PullRequest, Repository

_GATE = GateResult._meta.db_table
# What may follow the host in a clone URL without changing what the URL means.
_PLAIN_NAME = re.compile(r"[\w.~+-]+(?:/[\w.~+-]+)*", re.ASCII)


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
    """A gate result at a commit; `announced_at` orders those of one gate."""

    repository_id: int
    sha: str
    context: str
    state: str
    announced_at: datetime


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


def record_gates(announced: Sequence[AnnouncedGate]) -> None:
    """Store the newest result of each gate at each commit, by one statement.

    Results come in any order, and again when a delivery is replayed: an older one never undoes a
    newer one.
    """
    newest: dict[tuple[int, str, str], AnnouncedGate] = {}
    for one in announced:
        key = (one.repository_id, one.sha, one.context[:200])
        if key not in newest or newest[key].announced_at <= one.announced_at:
            newest[key] = one
    insert_rows(
        connection,
        _GATE,
        {
            "repository_id": "bigint",
            "sha": "text",
            "context": "text",
            "state": "text",
            "seen_at": "timestamptz",
        },
        [(*key, one.state, one.announced_at) for key, one in sorted(newest.items())],
        on_conflict="(repository_id, sha, context) DO UPDATE SET state = excluded.state,"
        f" seen_at = excluded.seen_at WHERE {_GATE}.seen_at <= excluded.seen_at",
    )


def record_repository_facts(
    repository_id: int,
    *,
    host_kind: str,
    host_repository_id: str,
    full_name: str,
    default_branch: str,
    former_name: str = "",
    is_outdated: Callable[[str], bool] = lambda _: False,
) -> dict[str, tuple[str, str]]:
    """Store a repository's name and address as announced; return what changed, `(old, new)`.

    The stable id decides who it is: a rename keeps the history, and facts about another id change
    nothing. With the id, the kind of host is learnt: until then it was a guess. `former_name` is
    what the host says it was called; `is_outdated` is asked, with the name that is stored, before
    that gives way to another one.

    The clone URL follows the name where it ends in it, and never leaves its host: whoever can sign
    a delivery must not be able to send our credential elsewhere.
    """
    row = Repository.objects.select_for_update().get(pk=repository_id)
    if row.host_repository_id and host_repository_id not in ("", row.host_repository_id):
        return {}
    if full_name != row.full_name and is_outdated(row.full_name):
        full_name = ""
    changed: dict[str, tuple[str, str]] = {}
    learns_id = host_repository_id and not row.host_repository_id
    for field, value in (
        ("host_kind", host_kind if learns_id else ""),
        ("host_repository_id", host_repository_id),
        ("full_name", full_name),
        ("default_branch", default_branch),
    ):
        old = getattr(row, field)
        if value and value != old:
            changed[field] = (old, value)
            setattr(row, field, value)
    if "full_name" in changed:
        old_name = changed["full_name"][0] or former_name
        moved_to = _moved_url(row.clone_url, old_name, full_name)
        if moved_to != row.clone_url:
            changed["clone_url"] = (row.clone_url, moved_to)
            row.clone_url = moved_to
    if changed:
        row.save(update_fields=sorted(changed))
    return changed


def _moved_url(clone_url: str, old_name: str, new_name: str) -> str:
    """Return the URL with its name replaced; the same one when it does not end in the old name."""
    bare = clone_url.rstrip("/").removesuffix(".git")
    ends_in_name = old_name and bare.endswith((f"/{old_name}", f":{old_name}"))
    plain = _PLAIN_NAME.fullmatch(new_name) and not {".", ".."} & set(new_name.split("/"))
    if not ends_in_name or not plain:
        return clone_url
    return bare.removesuffix(old_name) + new_name + clone_url[len(bare) :]
