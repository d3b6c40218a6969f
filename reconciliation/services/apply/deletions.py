"""Applies that a repository is gone from its host: switched off, its queue emptied, an alert."""

from collections.abc import Sequence
from datetime import datetime

from governance.services.repository_states import switch_off
from reconciliation.domain.findings import FindingDraft, RuleHit
from reconciliation.models import (
    ReconciliationTask,
    RepositoryWatch,
    TaskKind,
    TaskState,
)
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.observe.values import Seen
from reconciliation.services.repository_findings import About, open_finding, resolve_finding

DELETED = "repository_deleted"


def apply_deletion(one: Worked, sight: Seen, effects: Effects, *, now: datetime) -> None:
    """Mark a repository as gone, so that nothing tries to read it any more, and tell people.

    What is queued for it is discarded: it could only fail. Branches, findings and the trail stay.
    """
    pk = one.task.repository_id
    place = sight.repository
    switch_off(pk)
    discarded = ReconciliationTask.objects.filter(repository_id=pk, state=TaskState.QUEUED).update(
        state=TaskState.DISCARDED, completed_at=now, last_error_code=DELETED, held_by=None
    )
    RepositoryWatch.objects.filter(repository_id=pk).update(
        last_error_code=DELETED,
        last_error="Deleted on its host.",
        failing_since=None,
        consecutive_failures=0,
    )
    effects.entries.append(
        entry_of(
            one.task,
            now=now,
            action="repository.switch_off",
            object_kind="repository",
            object_id=str(pk),
            reason="its host announced the deletion, and it cannot be read any more",
            data={"tasks_discarded": discarded},
        )
    )
    effects.entries += open_finding(
        _about(sight),
        FindingDraft(
            stable_class=DELETED,
            severity="high",
            alerting=True,
            rule_hits=(RuleHit("repository.deleted", 80),),
            summary=f"{place.tenant}/{place.slug} was deleted on its host.",
            recommendation=(
                "If that was meant, acknowledge this. If it was not, restore the repository on the"
                " host and switch it on again here: its branches and history are kept."
            ),
            command="",
            expected=(("repository", "there"),),
            actual=(("repository", "deleted"),),
        ),
        reason="announced by its host",
        correlation_id=one.task.correlation_id,
        now=now,
    )


def apply_returns(read: Sequence[tuple[Worked, Seen]], effects: Effects, *, now: datetime) -> None:
    """Resolve the findings of repositories that were gone and can be read again."""
    for one, sight in sorted(read, key=lambda pair: pair[0].task.repository_id):
        effects.entries += resolve_finding(
            _about(sight),
            DELETED,
            resolution="it can be read again",
            correlation_id=one.task.correlation_id,
            now=now,
        )


def _about(sight: Seen) -> About:
    place = sight.repository
    return About(place, "repository", str(place.id), TaskKind.OBSERVE_REFS)
