"""The remote as this installation is configured to read it, and its errors in our classes."""

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from governance.selectors.branch_facts import RepositoryRow
from reconciliation.domain.retry import ErrorClass
from reconciliation.remotes.base import (
    Credential,
    LookBack,
    NewRemote,
    RemoteAuthFailed,
    RemoteError,
    RemoteNotFound,
    RemoteRefused,
    RemoteTarget,
    RemoteThrottled,
)
from reconciliation.remotes.client import GitRemote
from reconciliation.services.observe.values import Trouble
from reconciliation.services.queue import ClaimedTask


@lru_cache(maxsize=1)
def configured_remote() -> NewRemote:
    """Return the one reader of remotes of this process: it keeps connections alive."""
    return GitRemote(
        Path(settings.MIRROR_ROOT),
        allowed_local_roots=tuple(Path(root) for root in settings.ALLOWED_LOCAL_REMOTE_ROOTS),
        allow_insecure_http=settings.ALLOW_INSECURE_HTTP_REMOTES,
        block_private_addresses=settings.BLOCK_PRIVATE_REMOTES,
        allow_unfiltered_fetches=settings.ALLOW_UNFILTERED_FETCHES,
        read_timeout_seconds=settings.HOST_SILENCE_SECONDS,
        git_timeout_seconds=settings.GIT_SECONDS,
        fetch_seconds=settings.FETCH_SECONDS,
        fetch_silence_seconds=settings.FETCH_SILENCE_SECONDS,
        look_back=LookBack(
            commits=settings.LOOK_BACK_COMMITS,
            branch_commits=settings.LOOK_BACK_BRANCH_COMMITS,
            paths=settings.LOOK_BACK_PATHS,
            history=settings.HISTORY_COMMITS,
        ),
    )


def target_of(repository: RepositoryRow) -> RemoteTarget:
    """Return how to reach a repository."""
    credential = Credential(*repository.credential) if repository.credential else None
    return RemoteTarget(
        clone_url=repository.clone_url, mirror_key=str(repository.id), credential=credential
    )


def trouble_of(task: ClaimedTask, error: RemoteError) -> Trouble:
    """Return an error of a remote as trouble: who must act, and when to try again."""
    error_class = ErrorClass.TRANSIENT
    if isinstance(error, RemoteThrottled):
        error_class = ErrorClass.THROTTLED
    elif isinstance(error, RemoteAuthFailed | RemoteNotFound | RemoteRefused):
        error_class = ErrorClass.TERMINAL
    return Trouble(task, error_class, error.code, error.message, error.retry_after_seconds)
