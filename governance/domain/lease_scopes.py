"""What a lease covers, when two leases collide, and which claims are refused; pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.domain.refs import InvalidRef, branch_name

REPO_WIDE = "repo-wide"
BRANCH_LEVEL = "branch-level"
PATH_PREFIX = "path-prefix"
SCOPES = (REPO_WIDE, BRANCH_LEVEL, PATH_PREFIX)

MAX_PATHS = 200
MAX_PATH_LENGTH = 1000

_NOT_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f\\*\ud800-\udfff]")


class InvalidLease(ValueError):
    """A claim makes no sense; the caller must change it. `field` names what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """What a lease covers: a repository (branch empty), a branch, or paths of a branch."""

    scope: str
    branch: str = ""
    paths: tuple[str, ...] = ()


def lease_claim(*, scope: str, branch: str, paths: Sequence[str]) -> LeaseClaim:
    """Return the canonical form of a claim: a plain branch name; sorted paths, none inside another.

    Raises:
        InvalidLease: an unknown scope, or a branch or paths that do not go with it.
    """
    if scope not in SCOPES:
        raise InvalidLease("scope", f"{scope!r} is no scope: use one of {', '.join(SCOPES)}")
    if scope == REPO_WIDE and branch:
        raise InvalidLease("branch", "a repo-wide lease covers every branch: leave branch empty")
    if scope != PATH_PREFIX and paths:
        raise InvalidLease("paths", f"a {scope} lease covers every path: leave paths empty")
    if scope == REPO_WIDE:
        return LeaseClaim(REPO_WIDE)
    if scope == BRANCH_LEVEL:
        return LeaseClaim(BRANCH_LEVEL, _branch(branch))
    return LeaseClaim(PATH_PREFIX, _branch(branch), normal_paths(paths))


def overlaps(a: LeaseClaim, b: LeaseClaim) -> bool:
    """Return whether two claims cover some same place, so that only one of them may be held.

    Repo-wide collides with everything; a branch with itself and with its paths; paths with paths
    of the same branch when one lies inside the other.
    """
    if REPO_WIDE in (a.scope, b.scope):
        return True
    if a.branch != b.branch:
        return False
    if BRANCH_LEVEL in (a.scope, b.scope):
        return True
    return any(covers(one, other) or covers(other, one) for one in a.paths for other in b.paths)


def covers(prefix: str, path: str) -> bool:
    """Return whether a path lies at or below a prefix, segment by segment: `src/a` not `src/ab`."""
    return path == prefix or path.startswith(prefix + "/")


def paths_outside(claim: LeaseClaim, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that a claim does not cover, sorted. Only path-prefix leases leave any."""
    if claim.scope != PATH_PREFIX:
        return ()
    return tuple(
        sorted({path for path in paths if not any(covers(one, path) for one in claim.paths)})
    )


def normal_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Return path prefixes sorted in code-point order, without any that another one covers.

    Raises:
        InvalidLease: none or too many, or one that is not a plain path below the repository.
    """
    if not paths:
        raise InvalidLease("paths", "a path-prefix lease needs at least one path")
    if len(paths) > MAX_PATHS:
        raise InvalidLease("paths", f"at most {MAX_PATHS} paths; lease the branch instead")
    cleaned = {normal_path(path) for path in paths}
    return tuple(
        sorted(
            path
            for path in cleaned
            if not any(covers(other, path) for other in cleaned if other != path)
        )
    )


def normal_path(path: str) -> str:
    """Return a path prefix without its one allowed trailing slash.

    Raises:
        InvalidLease: it is absolute, or holds `.`, `..`, an empty segment, a pattern, a backslash
            or a control character: a prefix that matched nothing would protect nothing.
    """
    if path.startswith("/"):
        raise InvalidLease("paths", f"{path[:200]!r} is absolute: start at the repository's root")
    trimmed = path.removesuffix("/")
    segments = trimmed.split("/")
    if not trimmed or "" in segments:
        raise InvalidLease("paths", f"{path[:200]!r} has an empty segment")
    if "." in segments or ".." in segments:
        raise InvalidLease("paths", f"{path[:200]!r} climbs: write the path without `.` and `..`")
    if len(trimmed) > MAX_PATH_LENGTH or _NOT_IN_A_PATH.search(trimmed):
        raise InvalidLease(
            "paths",
            f"{path[:200]!r} is no plain path: prefixes, not patterns (write auth, not auth/**),"
            f" with forward slashes, at most {MAX_PATH_LENGTH} characters",
        )
    return trimmed


def _branch(text: str) -> str:
    try:
        return branch_name(text)
    except InvalidRef as error:
        raise InvalidLease("branch", str(error)) from error
