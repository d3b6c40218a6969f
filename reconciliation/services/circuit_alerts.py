"""The one alert of an open circuit: which host, why, how much waits, and what to do about it."""

from datetime import datetime

from audit.domain.entries import RECONCILER, Entry
from governance.selectors.branch_facts import repositories_by_id
from reconciliation.domain.circuits import severity_of
from reconciliation.domain.dead_letters import probable_fix
from reconciliation.domain.findings import FindingDraft, RuleHit
from reconciliation.models import CIRCUIT_CHECK, Circuit, Finding, FindingState
from reconciliation.services.repository_findings import About, open_finding, resolve_finding

CIRCUIT_OPEN = "circuit_open"

_WHAT = {
    "remote_auth_failed": "refuses the credential",
    "remote_malformed": "answers something that is not git",
    "remote_throttled": "asks for patience",
}


def credential_name(row: Circuit) -> str:
    """Return the credential's name, or `anonymous`."""
    return row.credential.name if row.credential else "anonymous"


def open_alert(row: Circuit, *, now: datetime) -> list[Entry]:
    """Open the alert of a circuit, or open it again; return the entries to append."""
    about = _about(row)
    if about is None:
        return []
    return open_finding(
        about, draft_of(row), reason=row.cause, correlation_id=row.correlation_id, now=now
    )


def retell_alert(row: Circuit, *, now: datetime) -> None:
    """Bring the words of the open alert up to date; its state, and who answered it, stay."""
    about = _about(row)
    if about is None:
        return
    draft = draft_of(row)
    Finding.objects.filter(
        fingerprint=about.fingerprint(CIRCUIT_OPEN), state=FindingState.OPEN
    ).update(
        summary=draft.summary,
        recommendation=draft.recommendation,
        actual=dict(draft.actual),
        last_seen_at=now,
    )


def resolve_alert(row: Circuit, *, resolution: str, now: datetime) -> list[Entry]:
    """Resolve the alert of a circuit by evidence; return the entries to append."""
    about = _about(row)
    if about is None:
        return []
    return resolve_finding(
        about, CIRCUIT_OPEN, resolution=resolution, correlation_id=row.correlation_id, now=now
    )


def circuit_entry(
    row: Circuit, action: str, *, reason: str, now: datetime, **data: object
) -> Entry:
    """Return an entry of the trail about a circuit."""
    return Entry(
        tenant=row.tenant.slug,
        at=now,
        actor=RECONCILER,
        action=action,
        object_kind="circuit",
        object_id=str(row.pk),
        correlation_id=row.correlation_id,
        outcome=row.state,
        reason=reason[:500],
        data={"origin": row.origin, "credential": credential_name(row), **data},
    )


def draft_of(row: Circuit) -> FindingDraft:
    """Return what the alert says now."""
    what = _WHAT.get(row.cause, "does not answer")
    who = f" (credential {credential_name(row)})" if row.credential else ""
    tasks = f"{row.held_tasks} task{'' if row.held_tasks == 1 else 's'} held"
    places = row.held_repositories
    repositories = f"{places} repositor{'y' if places == 1 else 'ies'}"
    return FindingDraft(
        stable_class=CIRCUIT_OPEN,
        severity=severity_of(row.cause),
        alerting=True,
        # One rule whatever the cause: an acknowledgement holds when the cause changes its name.
        rule_hits=(RuleHit("circuit.open", 70, (("origin", row.origin),)),),
        summary=f"{row.origin} {what}{who}: {tasks} for {repositories}.",
        recommendation=(
            f"{probable_fix(row.cause)} No attempt is burnt meanwhile: one task asks now and then,"
            " and when the host answers everything held goes on by itself, and this is resolved."
        ),
        command="",
        expected=(("host", "answers"),),
        actual=(
            ("cause", row.cause),
            ("credential", credential_name(row)),
            ("held_repositories", str(row.held_repositories)),
            ("held_tasks", str(row.held_tasks)),
            ("message", row.message[:300]),
            ("origin", row.origin),
        ),
    )


def _about(row: Circuit) -> About | None:
    if row.place_id is None:
        return None
    place = repositories_by_id([row.place_id])[row.place_id]
    return About(place, "circuit", str(row.pk), CIRCUIT_CHECK)
