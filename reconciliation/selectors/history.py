"""The audit trail as pages tell it: entries of an object or of some traces; changes nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.domain.caller import Caller
from audit.selectors import visible_entries

_MOST_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One audit entry in words that a page can show."""

    id: int
    at: datetime
    actor_kind: str
    actor: str
    action: str
    outcome: str
    reason: str
    object_kind: str
    object_id: str
    tenant: str
    repo: str
    branch: str
    task_kind: str
    correlation_id: str
    seq: int
    hash: str
    data: dict[str, Any]

    @property
    def is_decision(self) -> bool:
        """Whether a check decided something here; `outcome` is then its word for it."""
        return self.action.startswith("decision.")


def history_of_object(
    caller: Caller, *, tenant: str, object_kind: str, object_ids: Sequence[str]
) -> tuple[HistoryLine, ...]:
    """Return the newest entries about some objects of one kind and tenant, newest first."""
    rows = visible_entries(caller).filter(
        tenant=tenant, object_kind=object_kind, object_id__in=object_ids
    )
    return _lines(rows.order_by("-id")[:_MOST_ENTRIES])


def history_of_traces(
    caller: Caller,
    *,
    correlation_ids: Sequence[str],
    tenant: str = "",
    repo: str = "",
    branch: str | None = None,
) -> tuple[HistoryLine, ...]:
    """Return the newest entries with any of these correlation ids, newest first."""
    rows = visible_entries(caller).filter(correlation_id__in=sorted(set(correlation_ids)))
    if tenant:
        rows = rows.filter(tenant=tenant)
    if repo:
        rows = rows.filter(repo=repo)
    if branch is not None:
        rows = rows.filter(branch=branch)
    return _lines(rows.order_by("-id")[:_MOST_ENTRIES])


def _lines(rows: Any) -> tuple[HistoryLine, ...]:
    return tuple(_line(row) for row in rows)


def _line(row: Any) -> HistoryLine:
    body = json.loads(row.body)
    return HistoryLine(
        id=row.pk,
        at=row.at,
        actor_kind=row.actor_kind,
        actor=row.actor_name,
        action=row.action,
        outcome=row.outcome,
        reason=body.get("reason", ""),
        object_kind=row.object_kind,
        object_id=row.object_id,
        tenant=row.tenant,
        repo=row.repo,
        branch=row.branch,
        task_kind=row.task_kind,
        correlation_id=row.correlation_id,
        seq=row.seq,
        hash=row.hash,
        data=body.get("data", {}),
    )
