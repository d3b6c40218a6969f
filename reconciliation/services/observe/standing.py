"""Observes how branches stand to the default branch: merged how, and how far behind.

Asked in parts, so that what was found out before the time was up is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciliation.remotes.base import Remote, RemoteError, RemoteTarget, Standing

BRANCHES_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Standings:
    """Standings by branch name, and the error that met the rest."""

    known: Mapping[str, Standing]
    unknown: Mapping[str, RemoteError]


def standings_of(
    remote: Remote,
    target: RemoteTarget,
    heads: Mapping[str, str],
    *,
    default_branch: str,
    default_head: str | None,
    idle: Mapping[str, bool],
) -> Standings:
    """Return how branch heads stand to the default branch; nothing is known without one.

    Equal changes under other commits are looked for on `idle` branches only, with the contents of
    the few files that decide where its value is true.
    """
    if default_head is None:
        return Standings({}, {})
    known: dict[str, Standing] = {}
    unknown: dict[str, RemoteError] = {}
    for names in _parts(sorted(heads)):
        try:
            known |= remote.standings(
                target,
                {name: heads[name] for name in names},
                base=(default_branch, default_head),
                look_for_changes={name for name in names if name in idle},
                compare_files={name for name in names if idle.get(name)},
            )
        except RemoteError as error:
            unknown |= dict.fromkeys((name for name in heads if name not in known), error)
            break
    return Standings(known, unknown)


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [
        names[start : start + BRANCHES_AT_ONCE] for start in range(0, len(names), BRANCHES_AT_ONCE)
    ]
