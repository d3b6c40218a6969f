"""Publishes policy versions, with a second person where a floor is loosened, and an audit entry.

A version is never changed; to roll back, publish the old document again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from audit.domain.entries import Actor, Entry
from audit.services import append_one
from governance.domain.policy_text import PolicyText
from governance.models import PolicyVersion, Workspace
from governance.selectors.policy_places import PolicyPlace
from governance.services.policy_planning import Plan, plan_version

SHORTEST_REASON = 10
LONGEST_REASON = 500


class ApprovalNeeded(Exception):
    """The version loosens floors, which needs a second person; `floors` are their keys."""

    def __init__(self, floors: Sequence[str]) -> None:
        super().__init__(
            f"This loosens the floors {', '.join(floors)}: somebody other than the author must"
            " approve it."
        )
        self.floors = tuple(floors)


class PolicyChangedMeanwhile(Exception):
    """Another version was published than the one this was written over: look at it first."""


class BadReason(ValueError):
    """The reason is too short or too long to tell a reader why."""


@dataclass(frozen=True, slots=True)
class Published:
    """The version in force; `is_new` is False when the same document was in force already."""

    version: PolicyVersion
    is_new: bool
    plan: Plan


@dataclass(frozen=True, slots=True)
class Publication:
    """A version that nothing stands against; `is_new` is False when its document is in force."""

    plan: Plan
    author: Actor
    approved_by: Actor | None
    reason: str
    manifest: Mapping[str, Any] | None
    is_new: bool

    @property
    def number(self) -> int:
        """Return the number that the version gets."""
        return self.plan.layer.version


def publish_version(
    text: PolicyText,
    *,
    place: PolicyPlace,
    author: Actor,
    approved_by: Actor | None,
    reason: str,
    expected_version: int | None,
    manifest: Mapping[str, Any] | None = None,
    correlation_id: str,
    now: datetime,
) -> Published:
    """Publish the next version of a layer, with its audit entry; see `prepare_version`."""
    ready = prepare_version(
        text,
        place=place,
        author=author,
        approved_by=approved_by,
        reason=reason,
        expected_version=expected_version,
        manifest=manifest,
    )
    return store_version(ready, correlation_id=correlation_id, now=now)


def prepare_version(
    text: PolicyText,
    *,
    place: PolicyPlace,
    author: Actor,
    approved_by: Actor | None,
    reason: str,
    expected_version: int | None,
    manifest: Mapping[str, Any] | None = None,
) -> Publication:
    """Return the next version of a layer when nothing stands against it; store nothing.

    `approved_by` is somebody whose identity the caller has proven; it is needed to loosen a floor.
    `expected_version` is the number of the version this was written over (0: none was), or None to
    publish over whatever is there. `manifest` is the workspace manifest the document was taken
    from; the workspace carries it from then on.

    Raises:
        PolicyRefused: the document has errors, or is looser than a floor above.
        ApprovalNeeded: it loosens a floor and nobody else approved.
        PolicyChangedMeanwhile: another version is in force than `expected_version`.
        BadReason: not 10 to 500 characters.
        ValueError: a manifest for another layer than a workspace.
    """
    if manifest is not None and place.layer != "workspace":
        raise ValueError(f"a {place.layer} carries no manifest; only workspaces do")
    if not SHORTEST_REASON <= len(reason.strip()) <= LONGEST_REASON:
        raise BadReason(f"a reason has {SHORTEST_REASON} to {LONGEST_REASON} characters")
    plan = plan_version(text, place=place)
    in_force = plan.previous.version if plan.previous else 0
    if expected_version is not None and expected_version != in_force:
        raise PolicyChangedMeanwhile(
            f"{place.name} is at version {in_force}, not {expected_version}: read it, then decide."
        )
    is_carried = manifest is None or (place.workspace and place.workspace.manifest == manifest)
    is_same = plan.previous is not None and plan.previous.digest == plan.digest
    if plan.loosened_floors and not _is_second_person(approved_by, author):
        raise ApprovalNeeded(plan.loosened_floors)
    return Publication(
        plan=plan,
        author=author,
        approved_by=approved_by if _is_second_person(approved_by, author) else None,
        reason=reason.strip(),
        manifest=manifest,
        is_new=not (is_same and is_carried),
    )


def store_version(
    ready: Publication,
    *,
    correlation_id: str,
    now: datetime,
    effects: Mapping[str, Any] | None = None,
) -> Published:
    """Store a version with its audit entry; what is in force already is left as it is.

    `effects` is what publishing it did beside, for the entry. The entry comes last: whoever calls
    this in a transaction of their own changes other rows before, as everybody does.

    Raises:
        PolicyChangedMeanwhile: somebody else published since it was prepared.
    """
    plan, place = ready.plan, ready.plan.place
    if not ready.is_new and plan.previous is not None:
        return Published(version=plan.previous, is_new=False, plan=plan)
    with transaction.atomic():
        version = _store(ready, now=now)
        if ready.manifest is not None and place.workspace is not None:
            Workspace.objects.filter(pk=place.workspace.pk).update(manifest=ready.manifest)
        append_one(_entry(ready, version, correlation_id=correlation_id, effects=effects or {}))
    return Published(version=version, is_new=True, plan=plan)


def _store(ready: Publication, *, now: datetime) -> PolicyVersion:
    place, layer = ready.plan.place, ready.plan.layer
    try:
        with transaction.atomic():
            return PolicyVersion.objects.create(
                layer=place.layer,
                tenant=place.tenant,
                workspace=place.workspace,
                repository=place.repository,
                branch_pattern=place.branch_pattern,
                target=place.target,
                version=ready.number,
                document=layer.document,
                digest=layer.digest,
                author=ready.author.name,
                approved_by=ready.approved_by.name if ready.approved_by else "",
                reason=ready.reason,
                published_at=now,
            )
    except IntegrityError as error:
        raise PolicyChangedMeanwhile(
            f"Somebody else published version {ready.number} of {place.name} just now: read it"
            " first."
        ) from error


def _entry(
    ready: Publication,
    version: PolicyVersion,
    *,
    correlation_id: str,
    effects: Mapping[str, Any],
) -> Entry:
    plan, place, second = ready.plan, ready.plan.place, ready.approved_by
    return Entry(
        tenant=place.tenant_slug,
        workspace=place.workspace.slug if place.workspace else "",
        repo=place.repository.slug if place.repository else "",
        at=version.published_at,
        actor=ready.author,
        action="policy.publish",
        object_kind="policy",
        object_id=place.name,
        correlation_id=correlation_id,
        reason=version.reason,
        policy_version=version.digest,
        data={
            "version": version.version,
            "approved_by": f"{second.kind}:{second.name}" if second else "",
            "previous_digest": plan.previous.digest if plan.previous else "",
            "loosened_floors": list(plan.loosened_floors),
            "changes": [
                {"key": change.key, "before": change.before, "after": change.after}
                for change in plan.changes
            ],
            **effects,
        },
    )


def _is_second_person(approver: Actor | None, author: Actor) -> bool:
    return approver is not None and approver.name.casefold() != author.name.casefold()
