"""One audit entry as a pure value: who did what to which thing, why, with which outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class ActorKind(StrEnum):
    """Who can act."""

    SYSTEM = "system"
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a kind of actor, not a secret
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts: the reconciler itself, a person, an API token, or a git host."""

    kind: ActorKind
    name: str


RECONCILER = Actor(ActorKind.SYSTEM, "reconciler")


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, as plain values: no foreign key, so history outlives what it describes."""

    tenant: str
    at: datetime
    actor: Actor
    action: str
    object_kind: str
    object_id: str
    correlation_id: str
    outcome: str = "ok"
    reason: str = ""
    workspace: str = ""
    repo: str = ""
    branch: str = ""
    task_kind: str = ""
    policy_version: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
