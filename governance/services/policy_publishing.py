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
    """Publish the next version of a layer, with its audit entry.

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
    number = plan.previous.version if plan.previous else 0
    if expected_version is not None and expected_version != number:
        raise PolicyChangedMeanwhile(
            f"{place.name} is at version {number}, not {expected_version}: read it, then decide."
        )
    is_carried = manifest is None or (place.workspace and place.workspace.manifest == manifest)
    if plan.previous is not None and plan.previous.digest == plan.digest and is_carried:
        return Published(version=plan.previous, is_new=False, plan=plan)
    if plan.loosened_floors and not _is_second_person(approved_by, author):
        raise ApprovalNeeded(plan.loosened_floors)
    with transaction.atomic():
        version = _store(plan, number=number + 1, author=author, reason=reason.strip(), now=now)
        append_one(
            _entry(
                plan,
                version,
                author=author,
                approved_by=approved_by,
                correlation_id=correlation_id,
            )
        )
        if manifest is not None and place.workspace is not None:
            Workspace.objects.filter(pk=place.workspace.pk).update(manifest=manifest)
    return Published(version=version, is_new=True, plan=plan)


def _store(plan: Plan, *, number: int, author: Actor, reason: str, now: datetime) -> PolicyVersion:
    place = plan.place
    try:
        with transaction.atomic():
            return PolicyVersion.objects.create(
                layer=place.layer,
                tenant=place.tenant,
                workspace=place.workspace,
                repository=place.repository,
                branch_pattern=place.branch_pattern,
                target=place.target,
                version=number,
                document=plan.document,
                digest=plan.digest,
                author=author.name,
                reason=reason,
                published_at=now,
            )
    except IntegrityError as error:
        raise PolicyChangedMeanwhile(
            f"Somebody else published version {number} of {place.name} just now: read it first."
        ) from error


def _entry(
    plan: Plan,
    version: PolicyVersion,
    *,
    author: Actor,
    approved_by: Actor | None,
    correlation_id: str,
) -> Entry:
    place = plan.place
    return Entry(
        tenant=place.tenant_slug,
        workspace=place.workspace.slug if place.workspace else "",
        repo=place.repository.slug if place.repository else "",
        at=version.published_at,
        actor=author,
        action="policy.publish",
        object_kind="policy",
        object_id=place.name,
        correlation_id=correlation_id,
        reason=version.reason,
        policy_version=version.digest,
        data={
            "version": version.version,
            "approved_by": f"{approved_by.kind}:{approved_by.name}" if approved_by else "",
            "previous_digest": plan.previous.digest if plan.previous else "",
            "loosened_floors": list(plan.loosened_floors),
            "changes": [
                {"key": change.key, "before": change.before, "after": change.after}
                for change in plan.changes
            ],
        },
    )


def _is_second_person(approver: Actor | None, author: Actor) -> bool:
    return approver is not None and approver.name.casefold() != author.name.casefold()
