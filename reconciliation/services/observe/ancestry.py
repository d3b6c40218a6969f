"""Observes how heads relate: ancestry, changed paths, who committed; from one mirror."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from reconciliation.remotes.base import Relation, Remote, RemoteTarget
from reconciliation.services.observe.equivalence import holds_the_same_change

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


@dataclass(frozen=True, slots=True)
class Standing:
    """How a branch stands to the default branch."""

    merged_by: str = ""
    behind: int | None = None


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
    found = {}
    for name, pair in sorted(known.items()):
        comparison = relations[pair]
        paths = (
            remote.changed_paths(target, *pair, limit=PATH_LIMIT)
            if name in with_paths and comparison.relation is not Relation.UNKNOWN
            else None
        )
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


def standing_of(
    remote: Remote,
    target: RemoteTarget,
    heads: Mapping[str, str],
    *,
    default_branch: str,
    default_head: str | None,
    idle: Set[str],
) -> dict[str, Standing]:
    """Relate branch heads to the default branch: merged how, and how far behind.

    Equivalence of the change costs trees of many commits: it is asked for `idle` branches only.
    """
    if not heads or default_head is None:
        return {}
    remote.sync(target, {default_branch: default_head, **dict(sorted(heads.items()))})
    pairs = {name: (head, default_head) for name, head in heads.items()}
    relations = remote.compare(target, sorted(set(pairs.values())))
    found = {}
    for name, pair in sorted(pairs.items()):
        comparison = relations[pair]
        merged_by = ""
        if comparison.relation in {Relation.SAME, Relation.ANCESTOR}:
            merged_by = "ancestry"
        elif name in idle and holds_the_same_change(
            remote, target, head=pair[0], target_head=default_head, comparison=comparison
        ):
            merged_by = "equivalence"
        found[name] = Standing(merged_by, comparison.ahead)
    return found
