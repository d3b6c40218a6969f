"""Observes how heads relate: ancestry, changed paths, who committed; from one mirror."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciliation.remotes.base import Relation, Remote, RemoteTarget

PATH_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Ancestry:
    """How a governed head stands to an observed one; empty relation when not asked."""

    relation: str = ""
    reason: str = ""
    ahead: int | None = None
    behind: int | None = None
    committer: str = ""
    paths: tuple[str, ...] = ()
    paths_truncated: bool = False
    paths_known: bool = True


def ancestry_of(
    remote: Remote,
    target: RemoteTarget,
    pairs: Mapping[str, tuple[str | None, str | None]],
    *,
    with_paths: set[str],
) -> dict[str, Ancestry]:
    """Relate `(governed, observed)` of each branch; changed paths only for those named."""
    known = {name: (old, new) for name, (old, new) in pairs.items() if old and new}
    if not known:
        return {}
    remote.sync(target, {name: new for name, (_, new) in sorted(known.items())})
    relations = remote.compare(target, sorted(set(known.values())))
    commits = remote.commits(target, sorted({new for _, new in known.values()}))
    changes = remote.changes(
        target,
        sorted(
            {
                pair
                for name, pair in known.items()
                if name in with_paths and relations[pair].relation is not Relation.UNKNOWN
            }
        ),
        limit=PATH_LIMIT,
    )
    found = {}
    for name, pair in sorted(known.items()):
        comparison = relations[pair]
        paths = changes[pair].paths() if name in with_paths and pair in changes else None
        found[name] = Ancestry(
            relation=comparison.relation.value,
            reason=comparison.reason,
            ahead=comparison.ahead,
            behind=comparison.behind,
            committer=commits[pair[1]].committer if pair[1] in commits else "",
            paths=paths.paths if paths else (),
            paths_truncated=paths.truncated if paths else False,
            paths_known=paths.known if paths else name not in with_paths,
        )
    return found
