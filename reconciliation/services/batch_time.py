"""Bounds how long a batch may ask remotes, and says what the end of that time means for a task."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from reconciliation.domain.retry import ErrorClass
from reconciliation.models import TaskKind
from reconciliation.services.observe import PatientRemote, Remote, Trouble
from reconciliation.services.observe.values import NOT_BEGUN, OUT_OF_TIME, STOPPED

_WORDS: dict[str, str] = {
    TaskKind.OBSERVE_REFS: "its heads could not be read within {seconds} s",
    TaskKind.HEAD_DRIFT: "too large to compare within {seconds} s",
    TaskKind.STALE_BRANCH: "too large to compare within {seconds} s",
}


class BatchTime:
    """The time of one batch, and the repositories whose remote or mirror was asked in it.

    A task that was being worked when the time was up is the one that is too large. Others of the
    batch had no turn: they have done nothing wrong.
    """

    def __init__(
        self,
        *,
        seconds: int,
        clock: Callable[[], datetime],
        should_stop: Callable[[], bool],
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._should_stop = should_stop
        self._ends_at = clock() + timedelta(seconds=seconds)
        self._asked: set[str] = set()

    def limited(self, remote: Remote) -> Remote:
        """Return the remote as it may be asked during this time, and no longer."""
        return PatientRemote(
            cast(Remote, _Noting(remote, self._asked)),
            may_ask=lambda: self._clock() < self._ends_at and not self._should_stop(),
        )

    def explained(self, trouble: Trouble) -> Trouble:
        """Return the trouble with its cause: a stop, no turn in this batch, or too large."""
        if trouble.code != OUT_OF_TIME:
            return trouble
        code, message = OUT_OF_TIME, ""
        if self._should_stop():
            code, message = STOPPED, "its worker was told to stop"
        elif str(trouble.task.repository_id) not in self._asked:
            code, message = NOT_BEGUN, f"other tasks of its batch took all of {self._seconds} s"
        else:
            words = _WORDS.get(trouble.task.task_kind, "not done within {seconds} s")
            message = f"{words.format(seconds=self._seconds)}: raise RECONCILER_BATCH_SECONDS"
        # Nothing is known against the host.
        return replace(trouble, error_class=ErrorClass.TRANSIENT, code=code, message=message)


class _Noting:
    """A remote that notes which mirrors are asked; every method takes its target first."""

    def __init__(self, remote: Remote, asked: set[str]) -> None:
        self._remote = remote
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._remote, name)

        def noting(target: Any, *args: Any, **kwargs: Any) -> Any:
            self._asked.add(target.mirror_key)
            return ask(target, *args, **kwargs)

        return noting
