"""Canonical worklists: de-duplicated, sorted by code point, with a digest; pure.

Source: specification, "Input worklists must be canonicalized and sorted before execution".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from audit.domain.canonical import canonical_json, sha256_of
from reconciliation.domain.identity import idempotency_key


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One thing to do. `about` names what it concerns by stable identifiers, never by a time.

    `moment` is the instant that makes this occasion of it unique (a sweep's slot, a lease's
    expiry) as UTC text, or empty; it is part of the key but not of the worklist's digest, so that
    the same state gives the same digest whenever it is planned.
    """

    tenant: str
    workspace: str
    repo: str
    branch: str
    task_kind: str
    about: str
    moment: str = ""
    run_id: str | None = None
    lease_id: str | None = None

    @property
    def subject(self) -> str:
        """What the key is made of, beside the place and the kind."""
        return f"{self.about} {self.moment}".strip()

    @property
    def key(self) -> str:
        """The idempotency key."""
        return idempotency_key(
            tenant=self.tenant,
            workspace=self.workspace,
            repo=self.repo,
            branch=self.branch,
            task_kind=self.task_kind,
            subject=self.subject,
        )

    @property
    def order(self) -> tuple[str, ...]:
        """The place in a worklist: (tenant, repo, branch, task_kind), then what cannot tie."""
        return (
            self.tenant,
            self.repo,
            self.branch,
            self.task_kind,
            self.about,
            self.moment,
            self.workspace,
            self.lease_id or "",
            self.run_id or "",
        )


@dataclass(frozen=True, slots=True)
class Worklist:
    """Items in canonical order, each once."""

    items: tuple[WorkItem, ...]

    @property
    def text(self) -> str:
        """The canonical JSON that the digest covers."""
        return canonical_json([_stable(item) for item in self.items])

    @property
    def digest(self) -> str:
        """SHA-256 of `text`."""
        return sha256_of([_stable(item) for item in self.items])


def canonical_worklist(items: Iterable[WorkItem]) -> Worklist:
    """Return `items` de-duplicated by key and sorted; any input order gives the same bytes."""
    by_key = {item.key: item for item in sorted(items, key=lambda item: item.order)}
    return Worklist(tuple(sorted(by_key.values(), key=lambda item: item.order)))


def _stable(item: WorkItem) -> dict[str, str | None]:
    return {
        "about": item.about,
        "branch": item.branch,
        "lease_id": item.lease_id,
        "repo": item.repo,
        "run_id": item.run_id,
        "task_kind": item.task_kind,
        "tenant": item.tenant,
        "workspace": item.workspace,
    }
