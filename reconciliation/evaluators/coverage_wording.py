"""Says what recorded steps lack to cover a change, and what would cover it; decides nothing."""

import shlex
from collections.abc import Sequence

from reconciliation.domain.findings import RuleHit
from reconciliation.evaluators.coverage import (
    GATES_MISSING,
    NOT_OF_PUSHER,
    OWNER_UNKNOWN,
    WITHOUT_LEASE,
)


def lacking_wording(hits: Sequence[RuleHit], *, tenant: str) -> tuple[str, str]:
    """Return what is lacking and what to do about it, each as sentences; each thing once."""
    lacking = [_WORDS[one.rule](dict(one.inputs), tenant) for one in hits]
    return (
        " ".join(dict.fromkeys(what for what, _ in lacking)),
        " ".join(dict.fromkeys(to_do for _, to_do in lacking)),
    )


def _gates(about: dict[str, str], _: str) -> tuple[str, str]:
    return (
        f"Run {about['run']} leads there, but required gates have not passed at its head:"
        f" {about['gates']}.",
        f"Let the gates pass on the host at {about['head'][:10]}.",
    )


def _not_of_pusher(about: dict[str, str], tenant: str) -> tuple[str, str]:
    actor, pusher = about["actor"], about["pusher"]
    command = _alias_command(tenant, pusher.split(", ")[0], actor)
    return (
        f"Run {about['run']} leads there, but it is {actor}'s, and {pusher} pushed without a lease"
        f" of {actor}.",
        f"If they are one person or bot, join the names: {command}. If not, {actor} must hold the"
        " lease while others push for them.",
    )


def _owner_unknown(about: dict[str, str], _: str) -> tuple[str, str]:
    actor = about["actor"]
    return (
        f"Run {about['run']} of {actor} leads there, but it is unknown who pushed: no webhook named"
        f" a pusher, and {actor} held no lease.",
        f"Let the push's webhook arrive, or have {actor} hold a lease while pushing.",
    )


def _without_lease(about: dict[str, str], _: str) -> tuple[str, str]:
    return (
        f"Run {about['run']} leads there, but neither {about['actor']} nor the pusher held a lease"
        " at the push, and the policy requires one (runs.require_lease).",
        f"Have {about['actor']} acquire a lease before the next push; review this change.",
    )


_WORDS = {
    GATES_MISSING: _gates,
    NOT_OF_PUSHER: _not_of_pusher,
    OWNER_UNKNOWN: _owner_unknown,
    WITHOUT_LEASE: _without_lease,
}


def _alias_command(tenant: str, name: str, identity: str) -> str:
    return shlex.join(["manage.py", "alias", "add", "--tenant", tenant, name, identity])
