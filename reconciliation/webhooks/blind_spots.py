"""What each host does not announce, and how large a body it may send; for pages and for intake."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from reconciliation.webhooks.hosts import HostKind

MIB: Final = 1024 * 1024


class Evidence(StrEnum):
    """How we know a limit."""

    SEEN = "seen"  # on a running host, or in the requests it sent
    DOCUMENTED = "documented"  # read in the host's own pages or code
    RECALLED = "recalled"  # known to the trade, not checked by us


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """One thing that a host never says, and what heals it. `checked_on` None: never checked."""

    subject: str
    words: str
    evidence: Evidence
    checked_on: date | None


_CHECKED: Final = date(2026, 11, 23)


def _seen(subject: str, words: str) -> BlindSpot:
    return BlindSpot(subject, words, Evidence.SEEN, _CHECKED)


def _documented(subject: str, words: str) -> BlindSpot:
    return BlindSpot(subject, words, Evidence.DOCUMENTED, _CHECKED)


def _recalled(subject: str, words: str) -> BlindSpot:
    return BlindSpot(subject, words, Evidence.RECALLED, None)


_NO_FORCED: Final = (
    "A push does not say whether it was forced; only git's ancestry tells a rewrite from an advance"
)

_GITEA: Final = (
    _seen(
        "silent changes",
        "Renames, transfers, archiving, visibility and a new default branch send nothing; "
        "a sweep sees them by the repository's id",
    ),
    _seen(
        "branch deletion", "Only a delete event with the short name is sent, without an object id"
    ),
    _seen(
        "hand merge",
        "A pull request merged by pushing its base stays open and sends no pull_request event",
    ),
    _seen("forced push", _NO_FORCED),
    _seen("moved tag", "A tag moved by force is announced as if it were new"),
    _seen("commit list", "The commits of a push are capped; only the head it names counts"),
    _seen(
        "no retry", "A delivery that fails is not sent again, and a replay has a new delivery id"
    ),
    _seen("redirect", "A redirect is followed with an empty body: the event is lost"),
    _seen(
        "lost under load",
        "Of 301 branches pushed at once one push was never sent (SQLite storage); a sweep finds it",
    ),
    _documented("commit status", "Statuses are announced from Gitea 1.24 on"),
)

_BLIND_SPOTS: Final[Mapping[HostKind, tuple[BlindSpot, ...]]] = MappingProxyType(
    {
        HostKind.GITHUB: (
            _recalled("many branches", "A push of more than 5,000 branches sends no push event"),
            _recalled("many tags", "A push of more than 3 tags sends no push event"),
            _documented("large payload", "A payload over 25 MB is not sent at all"),
            _documented("no retry", "A failed delivery is not sent again unless somebody asks"),
            _recalled("order", "Deliveries may arrive in another order than the changes happened"),
        ),
        HostKind.GITLAB: (
            _documented(
                "many refs",
                "A push of more than 3 branches or tags sends no push event "
                "(push_event_hooks_limit); system hooks send repository_update",
            ),
            _seen("forced push", _NO_FORCED),
            _documented(
                "hook switched off",
                "After 4 failures in a row a hook pauses (5xx) or stops until a person "
                "enables it again (4xx)",
            ),
            _documented("commit list", "A push lists at most 20 commits; only its head counts"),
            _documented(
                "group rename",
                "Renaming a group moves its projects without an event for each of them",
            ),
            _documented(
                "commit status", "Only pipelines and jobs are announced, not statuses set by API"
            ),
        ),
        HostKind.GITEA: _GITEA,
        HostKind.FORGEJO: _GITEA,
        HostKind.GOGS: (
            _seen(
                "pull request heads",
                "Pull requests name branches but no commits; heads must be read from git",
            ),
            _seen(
                "branch deletion",
                "Only a delete event with the short name is sent, without an object id",
            ),
            _seen("forced push", _NO_FORCED),
            _recalled("silent changes", "Renames, transfers and statuses send nothing"),
        ),
        HostKind.BITBUCKET: (
            _documented("large payload", "A payload over 256 KB is dropped without a trace"),
            _seen("pull request heads", "Object ids in pull requests are cut to 12 digits"),
            _recalled("retry", "A failed delivery is sent again at most twice, and only after 5xx"),
        ),
        HostKind.BITBUCKET_DC: (
            _seen("forced push", _NO_FORCED),
            _recalled(
                "circuit breaker",
                "After 5 failures deliveries are skipped, for 10 seconds and up to 10 hours",
            ),
            _recalled("commit status", "Build results are to be read from the API only"),
            _documented("mirrors", "A mirror's list of refs may be cut (refLimitExceeded)"),
        ),
        HostKind.AZURE: (
            _seen("no signature", "Nothing is signed: the proof is a password in a header"),
            _seen("forced push", _NO_FORCED),
            _seen("pull request times", "Pull requests have no time of change, only the event has"),
            _recalled("probation", "A hook that keeps failing is paused; 410 switches it off"),
            _recalled("silent changes", "A new default branch sends nothing"),
        ),
        HostKind.GENERIC: (
            _seen(
                "previous head (Pagure)",
                "A push does not name the previous head; old_commit is the merge base",
            ),
            _recalled("everything else", "A generic source announces what its owner made it send"),
        ),
    }
)


def blind_spots_of(host: HostKind) -> tuple[BlindSpot, ...]:
    """Return what webhooks of this host cannot tell, in the order in which to show it."""
    return _BLIND_SPOTS[host]


def body_cap_bytes(host: HostKind) -> int:
    """Return the largest body to read, in bytes: GitHub sends up to 25 MB, the others far less."""
    return 25 * MIB if host is HostKind.GITHUB else 3 * MIB


def answers_oversized_with_success(host: HostKind) -> bool:
    """Tell whether a body over the cap is to be answered 2xx rather than 413.

    GitLab takes four 4xx answers in a row for a broken receiver and switches the hook off for
    good; one refused body is not worth all later ones, and the sweep reads what it would have said.
    """
    return host is HostKind.GITLAB
