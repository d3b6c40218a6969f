"""Runs django-q2's cluster and judges it by its progress: starts it, kills its group, starts again.

While the cluster is not proven to work, a stand-in works in its place.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from reconciliation.domain.supervision import (
    Patience,
    Signs,
    Verdict,
    judge,
    pause_before_restart,
)
from reconciliation.services.canary import send_canary
from reconciliation.services.claiming import expire_claims_of
from reconciliation.services.processes import adopt_orphans, end_group
from reconciliation.services.stand_in import StandIn
from reconciliation.services.tether import SupervisorsEnd
from reconciliation.services.wake import wake_if_overlooked

_STEP_SECONDS = 0.25
_GRACE_SECONDS = 25.0  # for a cluster to end in order; with the rest it makes less than 35
_BURIAL_SECONDS = 4.0

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class _Cluster:
    """One running cluster and what was seen of it."""

    name: str
    process: subprocess.Popen[bytes]
    line: SupervisorsEnd
    fresh_since: datetime
    progress_at: datetime | None = None
    asked_at: datetime | None = None
    verdict: Verdict = Verdict.STARTING

    def signs(self) -> Signs:
        is_alive = self.process.poll() is None
        return Signs(is_alive, self.fresh_since, self.progress_at, self.asked_at)


class Supervisor:
    """Keeps one cluster working. `run` is the whole of it; the rest is how."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        new_name: Callable[[], str],
        stand_in: StandIn,
        tell: Tell,
        clock: Callable[[], datetime],
        patience: Patience,
        canary_every: timedelta,
    ) -> None:
        self._command = list(command)
        self._new_name = new_name
        self._stand_in = stand_in
        self._tell = tell
        self._clock = clock
        self._patience = patience
        self._canary_every = canary_every
        self._cluster: _Cluster | None = None
        self._failures = 0
        self._start_at: datetime | None = None
        self._canary_at: datetime | None = None
        self._database_answers = True

    def run(self, *, should_stop: Callable[[], bool], until_proven: bool = False) -> bool:
        """Supervise until told to stop; return whether the cluster was proven to work at the end.

        With `until_proven`, stop by itself when it is, or when the first start came to nothing.
        """
        adopt_orphans()
        self._stand_in.take_over()
        self._stand_in.start()
        is_proven = False
        try:
            while not should_stop():
                is_proven = self._step(self._clock())
                if until_proven and (is_proven or self._failures):
                    break
                time.sleep(_STEP_SECONDS)
        finally:
            self._end_in_order()
        return is_proven

    def _step(self, now: datetime) -> bool:
        cluster = self._cluster
        if cluster is None:
            if self._start_at is None or now >= self._start_at:
                self._cluster = self._start(now)
            return False
        if cluster.line.saw_progress():
            cluster.progress_at, cluster.asked_at = now, None
        if self._canary_at is None or now >= self._canary_at:
            self._ask(cluster, now)
            self._canary_at = now + self._canary_every
        verdict = judge(cluster.signs(), patience=self._patience, now=now)
        if verdict is not cluster.verdict:
            self._heed(cluster, verdict, now)
        return verdict is Verdict.PROVEN

    def _heed(self, cluster: _Cluster, verdict: Verdict, now: datetime) -> None:
        before, cluster.verdict = cluster.verdict, verdict
        self._tell(f"cluster.{verdict}", {"cluster": cluster.name, "pid": cluster.process.pid})
        if verdict is Verdict.PROVEN:
            self._failures = 0
            self._stand_in.hand_back()
            return
        self._stand_in.take_over()
        if verdict is Verdict.STARTING:
            return
        self._failures = 0 if before is Verdict.PROVEN else self._failures + 1
        self._start_at = now + pause_before_restart(self._failures)
        self._bury(cluster)

    def _start(self, now: datetime) -> _Cluster:
        name = self._new_name()
        line = SupervisorsEnd(name)
        tether = line.tether
        process = subprocess.Popen(
            self._command,
            env={**os.environ, **tether.as_environment()},
            stdin=subprocess.DEVNULL,
            pass_fds=(tether.progress_fd, tether.stop_fd),
            # A session, and so a group, of its own: what is killed is killed whole.
            start_new_session=True,
        )
        line.hand_over()
        self._canary_at = None
        self._tell("cluster.start", {"cluster": name, "pid": process.pid})
        return _Cluster(name, process, line, fresh_since=now)

    def _ask(self, cluster: _Cluster, now: datetime) -> None:
        try:
            send_canary(cluster.name, now=now)
            wake_if_overlooked(now=now)
        except (DatabaseError, InterfaceError) as error:
            self._lose_database(cluster, error)
            return
        if not self._database_answers:
            self._database_answers = True
            cluster.fresh_since = now
            self._tell("database.back", {})
        cluster.asked_at = cluster.asked_at or now

    def _lose_database(self, cluster: _Cluster, error: Exception) -> None:
        connection.close()
        cluster.asked_at = None
        if self._database_answers:
            self._database_answers = False
            self._tell("database.gone", {"error": str(error)})

    def _bury(self, cluster: _Cluster) -> None:
        """End what is left of a cluster, and its claims: the dead will not come back for them."""
        self._cluster = None
        cluster.line.tell_to_stop()
        if not end_group(cluster.process.pid, within_seconds=_BURIAL_SECONDS):
            self._tell("cluster.lingers", {"cluster": cluster.name, "pid": cluster.process.pid})
        cluster.line.close()
        with contextlib.suppress(DatabaseError, InterfaceError):  # then they run out by themselves
            expire_claims_of(cluster.name, now=self._clock())

    def _end_in_order(self) -> None:
        self._tell("supervisor.stop", {})
        self._stand_in.tell_to_stop()
        deadline = time.monotonic() + _GRACE_SECONDS
        cluster = self._cluster
        if cluster is not None:
            cluster.line.tell_to_stop()
            cluster.process.terminate()
            in_order = True
            try:
                cluster.process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                in_order = False
            self._bury(cluster)
            self._tell("cluster.end", {"cluster": cluster.name, "in_order": in_order})
        rest = max(_BURIAL_SECONDS, deadline - time.monotonic())
        if not self._stand_in.has_stopped(within_seconds=rest):
            self._tell("stand_in.lingers", {})
        connection.close()
