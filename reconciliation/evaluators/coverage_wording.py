"""Says what recorded steps lack to cover a change, and what would cover it; decides nothing."""

import shlex
from collections.abc import Sequence

from reconciliation.domain.findings import RuleHit
from reconciliation.evaluators.coverage import MERGE_DIFFERS, MERGE_UNKNOWN, MERGE_UNRECORDED
from reconciliation.evaluators.run_conditions import (
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
    what = f"Run {about['run']}" if "run" in about else about["merge"].capitalize()
    return (
        f"{what} leads there, but required gates have not passed at its head: {about['gates']}.",
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


def _differs(about: dict[str, str], _: str) -> tuple[str, str]:
    return (
        f"The merge {about['commit'][:10]} of {about['merge']} does not bring just what was"
        f" recorded: {about['reason']}.",
        "Treat the difference as a change that nobody recorded: review it before accepting.",
    )


def _not_told(about: dict[str, str], _: str) -> tuple[str, str]:
    return (
        f"Whether the merge {about['commit'][:10]} of {about['merge']} brings just what was"
        f" recorded cannot be told from the trees: {about['reason']}.",
        "Compare the merge with the pull request, then accept the head.",
    )


def _unrecorded(about: dict[str, str], _: str) -> tuple[str, str]:
    return (
        f"{about['merge'].capitalize()} was merged, but no runs that count lead to its head from"
        " what the branch had.",
        "Record the runs on the branch of the pull request before it is merged.",
    )


_WORDS = {
    MERGE_DIFFERS: _differs,
    MERGE_UNKNOWN: _not_told,
    MERGE_UNRECORDED: _unrecorded,
    GATES_MISSING: _gates,
    NOT_OF_PUSHER: _not_of_pusher,
    OWNER_UNKNOWN: _owner_unknown,
    WITHOUT_LEASE: _without_lease,
}


def _alias_command(tenant: str, name: str, identity: str) -> str:
    return shlex.join(["manage.py", "alias", "add", "--tenant", tenant, name, identity])
