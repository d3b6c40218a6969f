"""Runs every check of the project, one after the other, and adds up the tests; decides nothing.

    make test                                   everything
    python -m scripts.check --only ruff mypy    some of it
    python -m scripts.check --only pytest-sqlite -- tests/unit -k lease

One line per step, with seconds; what a failed step said follows its line, and all of it is kept
in reports/. Every step runs, whatever failed before. The last line is the sum over all test runs,
where a failed step that is no test run counts as one failure:

    1234 passed, 0 failed, 5 skipped

Set ALLOW_SQLITE_ONLY=1 to go on without PostgreSQL; what was left out is then said loudly.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from scripts.postgres_programs import PostgresMissing
from scripts.throwaway_postgres import PostgresFailed, exit_on_sigterm, postgres_url

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "reports"
STEP_DEADLINE_SECONDS = 40 * 60
TAIL_LINES = 250  # of a failed step's output; the whole is in reports/


@dataclass(frozen=True)
class Totals:
    """Tests of one step, or of all."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """Add up two sets of totals."""
        return Totals(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
        )

    def __str__(self) -> str:
        """Say them in the one form that is promised."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Step:
    """One command; `junit` names the report its tests leave behind, if it runs tests."""

    name: str
    command: list[str | Path]
    environment: dict[str, str] = field(default_factory=dict)
    junit: Path | None = None


def tool(name: str) -> Path:
    """Return the path of a program installed beside the running Python."""
    return Path(sys.executable).with_name(name)


def plain_steps() -> list[Step]:
    """Return the steps that need no database server."""
    manage: list[str | Path] = [sys.executable, "manage.py"]
    return [
        Step("ruff-format", [tool("ruff"), "format", "--check", "."]),
        Step("ruff", [tool("ruff"), "check", "."]),
        Step("mypy", [tool("mypy")]),
        Step("imports", [tool("lint-imports")]),
        Step("migrations", [*manage, "makemigrations", "--check", "--dry-run"]),
        Step("django-check", [*manage, "check", "--fail-level", "WARNING"]),
    ]


def pytest_step(name: str, *, leave_out: str, database_url: str | None, extra: list[str]) -> Step:
    """Return one run of the tests; on SQLite without `database_url`."""
    junit = REPORTS / f"{name}.xml"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    parallel = ["-n", str(min(cores, 8))] if cores > 1 else []
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}"]
    return Step(
        name=name,
        command=[*command, *parallel, "-m", leave_out, *extra],
        environment={"DATABASE_URL": database_url} if database_url else {},
        junit=junit,
    )


def run_step(step: Step) -> Totals:
    """Run one step, print its line and, when it failed, what it said."""
    REPORTS.mkdir(exist_ok=True)
    log = REPORTS / f"{step.name}.log"
    if step.junit is not None:
        step.junit.unlink(missing_ok=True)
    started = time.monotonic()
    exit_code = _run_to_log(step, log=log)
    totals = _totals_of(step, exit_code=exit_code)
    detail = f"   {totals}" if step.junit is not None else ""
    _print_line(step.name, ok=exit_code == 0, seconds=time.monotonic() - started, detail=detail)
    if exit_code != 0:
        said = log.read_text(errors="replace").splitlines()
        print("\n".join(f"     | {line}" for line in said[-TAIL_LINES:]), flush=True)
    return totals


def _run_to_log(step: Step, *, log: Path) -> int:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "TEST_DATABASE_URL"}
    }
    environment |= {"DJANGO_SETTINGS_MODULE": "reconciler_site.settings.test"} | step.environment
    with log.open("wb") as output:
        process = subprocess.Popen(
            step.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(STEP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            output.write(f"\nstopped after {STEP_DEADLINE_SECONDS} seconds\n".encode())
            return 124
        finally:
            if process.poll() is None:
                # Its workers too: they are in the session we gave it.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _totals_of(step: Step, *, exit_code: int) -> Totals:
    if step.junit is None:
        return Totals(failed=int(exit_code != 0))
    totals = read_junit(step.junit)
    # It may fail without a failed test: nothing collected, an internal error, a deadline.
    if exit_code != 0 and totals.failed == 0:
        totals += Totals(failed=1)
    return totals


def read_junit(report: Path) -> Totals:
    """Return the totals of a JUnit report; a missing or broken one has none."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own file
    except (OSError, ElementTree.ParseError):
        return Totals()

    def count(name: str) -> int:
        return sum(int(suite.get(name, "0")) for suite in suites)

    failed = count("failures") + count("errors")
    skipped = count("skipped")
    return Totals(passed=max(count("tests") - failed - skipped, 0), failed=failed, skipped=skipped)


def _print_line(name: str, *, ok: bool, seconds: float, detail: str = "") -> None:
    print(f"{'ok  ' if ok else 'FAIL'} {name:<16}{seconds:7.1f} s{detail}", flush=True)


def _run_without_server(name: str, *, extra: list[str], leave_out: str) -> Totals:
    return run_step(pytest_step(name, leave_out=leave_out, database_url=None, extra=extra))


def _run_beside_postgres(name: str, *, extra: list[str], leave_out: str) -> Totals:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_url())
        except (PostgresMissing, PostgresFailed) as trouble:
            return _without_postgres(name, trouble=trouble)
        return run_step(pytest_step(name, leave_out=leave_out, database_url=url, extra=extra))


def _without_postgres(name: str, *, trouble: Exception) -> Totals:
    accepted = os.environ.get("ALLOW_SQLITE_ONLY") == "1"
    way_out = "accepted by ALLOW_SQLITE_ONLY=1" if accepted else "ALLOW_SQLITE_ONLY=1 accepts that"
    print(f"\n*** NOT TESTED ON POSTGRESQL ({way_out}): {trouble}\n", flush=True)
    _print_line(name, ok=accepted, seconds=0.0, detail="   left out")
    return Totals(failed=int(not accepted))


def all_steps(extra: list[str]) -> dict[str, Callable[[], Totals]]:
    """Return every step by name, in the order they are run; `extra` goes to each pytest."""
    steps: dict[str, Callable[[], Totals]] = {
        step.name: partial(run_step, step) for step in plain_steps()
    }
    steps["pytest-sqlite"] = partial(
        _run_without_server,
        "pytest-sqlite",
        extra=extra,
        leave_out="not postgres and not browser and not chaos",
    )
    steps["pytest-postgres"] = partial(
        _run_beside_postgres, "pytest-postgres", extra=extra, leave_out="not chaos"
    )
    return steps


def main() -> int:
    """Run what was asked for; 0 only when nothing failed."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    steps = all_steps(extra=arguments[cut + 1 :])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(steps), default=list(steps))
    asked = parser.parse_args(arguments[:cut])

    totals = Totals()
    try:
        with exit_on_sigterm():
            for name, run in steps.items():
                if name in asked.only:
                    totals += run()
    except KeyboardInterrupt:
        return 130
    print(totals, flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
