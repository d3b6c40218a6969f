"""Who calls: an actor with the tenants it may see and the scopes it has; pure."""

from dataclasses import dataclass
from typing import Any

from audit.domain.entries import Actor, ActorKind


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller of the API or of a page.

    `tenants` are slugs; None means every tenant. Scopes are those of `governance.models.Scope`.
    `run_actors` are the actors whose runs the caller may record; an admin may record anybody's.
    """

    actor: Actor
    tenants: frozenset[str] | None
    scopes: frozenset[str]
    run_actors: frozenset[str] = frozenset()

    def may_see(self, tenant: str) -> bool:
        """Return whether things of this tenant exist for the caller."""
        return self.tenants is None or tenant in self.tenants

    def has_scope(self, scope: str) -> bool:
        """Return whether the caller may do what `scope` covers."""
        return "admin" in self.scopes or scope in self.scopes


NOBODY = Caller(actor=Actor(ActorKind.SYSTEM, "nobody"), tenants=frozenset(), scopes=frozenset())
"""Whoever could not be told: sees nothing and may do nothing."""


def caller_of(request: Any) -> Caller:
    """Return who calls the API; nobody for the schema generator, which asks for querysets too."""
    caller = getattr(request, "auth", None)
    return caller if isinstance(caller, Caller) else NOBODY
