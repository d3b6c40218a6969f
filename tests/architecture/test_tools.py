"""Tries the project's own tools where a quiet mistake would make every other test worthless."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from scripts.check import Step, Totals, read_junit, run_step
from scripts.postgres_programs import PostgresMissing, choose_account, find_programs
from scripts.throwaway_postgres import throwaway_postgres

ROOT = Path(__file__).resolve().parents[2]

A_REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>
"""


def tiny_run(verdict: str, *, folder: Path) -> Step:
    """Return a step that runs one tiny test file outside the project and reports on it."""
    (folder / "test_tiny.py").write_text(f"def test_tiny():\n    {verdict}\n", encoding="utf-8")
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", "-c", os.devnull]
    return Step(
        name="tools-test",
        command=[*command, f"--rootdir={folder}", f"--junitxml={report}", folder],
        junit=report,
    )


def test_totals_are_read_from_the_report_and_errors_count_as_failures(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(A_REPORT, encoding="utf-8")

    assert read_junit(report) == Totals(passed=4, failed=3, skipped=3)


def test_totals_add_up_and_are_said_in_the_promised_form() -> None:
    both = Totals(passed=1000, skipped=5) + Totals(passed=234, failed=1)

    assert str(both) == "1234 passed, 1 failed, 5 skipped"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("pass", Totals(passed=1)),
        ("assert False", Totals(failed=1)),
        ("__import__('pytest').skip('x')", Totals(skipped=1)),
        # It dies before it can report: still a failure, never a silence.
        ("__import__('os')._exit(0 + 9)", Totals(failed=1)),
    ],
)
def test_a_test_run_is_summed_up_as_it_ended(
    verdict: str, expected: Totals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = run_step(tiny_run(verdict, folder=tmp_path))

    assert totals == expected
    assert capsys.readouterr().out.startswith("FAIL" if expected.failed else "ok")


@pytest.mark.parametrize(("exit_code", "failed"), [(0, 0), (1, 1)])
def test_a_check_without_tests_counts_only_when_it_fails(exit_code: int, failed: int) -> None:
    step = Step("tools-test", [sys.executable, "-c", f"raise SystemExit({exit_code})"])

    assert run_step(step) == Totals(failed=failed)


def test_a_wrapper_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "initdb"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    try:
        found = find_programs(account=choose_account())
    except PostgresMissing as missing:
        assert "apt-get install" in str(missing)  # noqa: PT017 - either answer is right here
    else:
        assert found != tmp_path


@pytest.mark.postgres
def test_what_was_committed_outlives_a_pulled_plug_and_nothing_outlives_the_server() -> None:
    with throwaway_postgres(durable=True) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.restart_immediate()
        with psycopg.connect(server.url) as connection:
            kept = connection.execute("SELECT one FROM kept").fetchall()
            row = connection.execute("SHOW data_directory").fetchone()

    assert kept == [(1,)]
    assert row is not None
    assert not Path(row[0]).exists()
    assert not server.is_running


@pytest.mark.postgres
@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_only_a_durable_server_waits_for_the_disk(durable: bool, fsync: str) -> None:
    with throwaway_postgres(durable=durable) as server, psycopg.connect(server.url) as connection:
        row = connection.execute("SHOW fsync").fetchone()

    assert row == (fsync,)


def test_set_up_sees_by_itself_that_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts/setup")
    shutil.copy(ROOT / "requirements/base.txt", tmp_path / "requirements/base.txt")
    (tmp_path / ".venv/bin/python").symlink_to("/bin/false")
    said = subprocess.run(
        ["sha256sum", "requirements/base.txt"], cwd=tmp_path, capture_output=True, check=True
    )
    stamp = f"{said.stdout.decode().split()[0]} {tmp_path}"
    (tmp_path / ".venv/.installed-base").write_text(stamp, encoding="utf-8")

    done = subprocess.run(
        ["scripts/setup", "base"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
