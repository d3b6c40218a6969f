"""The supervisor with real processes: what dies, what starts again, and that nothing is left."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciliation.management import processes
from reconciliation.management.processes import Child, Supervisor, backoff_seconds

STAY = "import time\ntime.sleep(60)"
STUBBORN = (
    "import pathlib, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "pathlib.Path(sys.argv[1]).write_text(str(helper.pid))\n"
    "time.sleep(60)"
)

Events = list[tuple[str, dict[str, object]]]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FIRST_BACKOFF_SECONDS", 0.2)
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1.0)


@pytest.fixture
def events() -> Events:
    return []


def child(name: str, program: str, *arguments: str, is_vital: bool = False) -> Child:
    command = [sys.executable, "-c", program, *arguments]
    return Child(name, command, dict(os.environ), is_vital=is_vital)


def supervisor(events: Events, *children: Child) -> Supervisor:
    def report(event: str, facts: Mapping[str, object]) -> None:
        events.append((event, dict(facts)))

    return Supervisor(children, report=report)


def after(seconds: float, act: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(true: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_children_and_is_a_success(events: Events, number: int) -> None:
    children = child("web", STAY, is_vital=True), child("worker", STAY)
    after(0.5, lambda: os.kill(os.getpid(), number))

    code = supervisor(events, *children).run()

    assert code == 0
    assert [one.is_alive for one in children] == [False, False]
    assert events == []


def test_handlers_of_signals_are_put_back(events: Events) -> None:
    before = signal.getsignal(signal.SIGTERM)
    after(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM))

    supervisor(events, child("web", STAY)).run()

    assert signal.getsignal(signal.SIGTERM) is before


def test_the_death_of_a_vital_child_ends_the_others_and_is_a_failure(events: Events) -> None:
    web = child("web", "import sys, time\ntime.sleep(0.3)\nsys.exit(7)", is_vital=True)
    worker = child("worker", STAY)

    code = supervisor(events, web, worker).run()

    assert code == 1
    assert events == [("died", {"process": "web", "exit_code": 7})]
    assert not worker.is_alive


def test_another_child_that_dies_is_started_again_later_each_time(events: Events) -> None:
    worker = child("worker", "import sys\nsys.exit(3)")
    after(2.5, lambda: os.kill(os.getpid(), signal.SIGTERM))

    code = supervisor(events, child("web", STAY, is_vital=True), worker).run()

    assert code == 0
    waits = [facts["restart_in_seconds"] for event, facts in events if event == "died"]
    assert waits[:3] == [0.2, 0.4, 0.8]
    assert ("restarted", {"process": "worker"}) in events


def test_a_child_that_ignores_the_signal_is_killed_with_all_that_it_started(
    events: Events, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    stubborn = child("worker", STUBBORN, str(pid_file))

    def stop_when_it_runs() -> None:
        until(pid_file.exists)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    started = time.monotonic()
    after(0, stop_when_it_runs)
    code = supervisor(events, stubborn).run()

    assert code == 0
    assert ("killed", {"process": "worker", "after_seconds": 1.0}) in events
    assert time.monotonic() - started < 10
    helper = int(pid_file.read_text())
    assert until(lambda: not is_running(helper))


def test_what_is_announced_on_start_comes_after_the_children_were_started(events: Events) -> None:
    web = child("web", STAY, is_vital=True)

    def announce() -> None:
        events.append(("ready", {"alive": web.is_alive}))
        os.kill(os.getpid(), signal.SIGTERM)

    assert supervisor(events, web).run(on_start=announce) == 0
    assert events == [("ready", {"alive": True})]


@pytest.fixture
def orphan_maker(tmp_path: Path) -> Path:
    """A program that supervises one child and writes the child's pid."""
    program = tmp_path / "parent.py"
    program.write_text(
        "import os, pathlib, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})\n"
        "from reconciliation.management.processes import Child, Supervisor\n"
        f"child = Child('web', [sys.executable, '-c', {STAY!r}], os.environ, is_vital=True)\n"
        "pid = pathlib.Path(sys.argv[1])\n"
        "Supervisor([child], report=print).run("
        "on_start=lambda: pid.write_text(str(child.process.pid)))\n"
    )
    return program


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
def test_children_do_not_outlive_a_supervisor_that_is_killed(
    orphan_maker: Path, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    parent = child("parent", orphan_maker.read_text(), str(pid_file))
    parent.start(now=0.0)
    assert until(lambda: pid_file.exists() and pid_file.read_text() != "")
    orphan = int(pid_file.read_text())
    assert is_running(orphan)

    assert parent.process is not None
    parent.process.kill()
    parent.process.wait()

    assert until(lambda: not is_running(orphan))


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (60, 30.0)]
)
def test_waits_double_up_to_half_a_minute(
    failures: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_BACKOFF_SECONDS", 1.0)

    assert backoff_seconds(failures) == seconds
