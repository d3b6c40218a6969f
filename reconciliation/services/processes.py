"""Keeps groups of processes together: nobody outlives who is responsible for them."""

import contextlib
import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_SECONDS = 0.02


def die_with_parent(parent_pid: int) -> None:
    """Have this process killed when its parent dies; Linux only, elsewhere this does nothing.

    Not inherited by forked children, see below. Ends this process at once when the parent was
    gone before the wish could be made.
    """
    if not sys.platform.startswith("linux"):
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def have_forks_die_with_their_parent() -> None:
    """Do the same for every process that this one forks, and for theirs in turn.

    django-q2 forks its sentinel, and that its workers. When any of them is killed, those below
    it would live on as orphans and go on taking messages.
    """
    parents: list[int] = []
    os.register_at_fork(
        before=lambda: parents.append(os.getpid()),
        after_in_parent=parents.clear,
        after_in_child=lambda: die_with_parent(parents[-1]),
    )


def adopt_orphans() -> None:
    """Become the parent of whoever below this process loses theirs, so that they can be buried.

    In a container process 1 may be one that buries nobody; then the dead would stay in their
    group, and a group that was killed would never look empty. Linux only.
    """
    if sys.platform.startswith("linux"):
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_group(group: int, *, within_seconds: float) -> bool:
    """Kill every process of a group and return whether it is empty now."""
    deadline = time.monotonic() + within_seconds
    while is_group_alive(group):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_SECONDS)
    return True


def is_group_alive(group: int) -> bool:
    """Return whether a group has a process; those of ours that ended are buried first."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG) != (0, 0):
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}) was refused: {os.strerror(number)}")
