"""One state, many surroundings: the same worklists, keys, decisions and findings, byte for byte.

Each run is a process with a fresh database of its own; see `one_state`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 240
INSTALL_SECONDS = 600

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What must not matter."""

    database_url: str = ""
    hash_seed: str = "0"
    locale: str = "C"
    zone: str = "UTC"
    order: int = 0
    workers: int = 1
    batch: int = 50
    python: str = sys.executable


def left_behind(where: Surroundings) -> list[str]:
    """Return what a run printed: a digest, and what it is of."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONHASHSEED": where.hash_seed,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": where.locale,
        "TZ": where.zone,
    }
    if where.database_url:
        environment["DATABASE_URL"] = where.database_url
    options = {"order": where.order, "workers": where.workers, "batch": where.batch}
    run = subprocess.run(
        [
            where.python,
            "-m",
            "tests.determinism.one_state",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode(errors="replace")[-3000:]
    return run.stdout.decode().splitlines()


@cache
def reference() -> list[str]:
    """Return what the plainest run leaves behind."""
    return left_behind(Surroundings())


SQLITE = [
    Surroundings(hash_seed="1", locale="C.UTF-8", zone="Asia/Kathmandu", order=1, batch=1),
    Surroundings(
        hash_seed="4242", locale="tr_TR.UTF-8", zone="America/St_Johns", order=2, workers=4, batch=3
    ),
    Surroundings(hash_seed="random", locale="POSIX", zone="Pacific/Kiritimati", order=3, workers=2),
]


@pytest.mark.parametrize(
    "where", SQLITE, ids=lambda where: f"{where.zone}, {where.workers} workers"
)
def test_on_sqlite_nothing_but_the_state_matters(where: Surroundings) -> None:
    assert left_behind(where) == reference()


@pytest.mark.parametrize(
    "where",
    [
        Surroundings(hash_seed="2", zone="Asia/Tokyo", locale="C.UTF-8", order=4),
        Surroundings(hash_seed="random", zone="America/Lima", order=5, workers=4, batch=2),
    ],
    ids=["one worker", "four workers"],
)
def test_on_postgresql_it_is_the_same_as_on_sqlite(where: Surroundings) -> None:
    url = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        pytest.skip("no PostgreSQL: run under `python -m scripts.throwaway_postgres run -- …`")

    assert left_behind(replace(where, database_url=url)) == reference()


def test_on_another_python_it_is_the_same() -> None:
    if sys.version_info[:2] == (3, 13):
        pytest.skip("this is Python 3.13; the others are compared with it")
    python = python_3_13_with_our_requirements()

    assert left_behind(Surroundings(python=str(python), hash_seed="9", order=6)) == reference()


def test_the_state_is_worth_comparing() -> None:
    text = reference()[1]

    for word in (
        *("advance_snapshot", "record_snapshot", "drift", "missing", "recommend_retirement"),
        *(
            "not yet due",
            "renew",
            "expire",
            "escalation_due",
            "open",
            "dead",
            "unrelated",
            "rewound",
            "deleted",
        ),
        *("drift.high_risk_path", "drift.moved_after_run", "drift.pusher_unknown_under_lease"),
    ):
        assert word in text, word
    assert len(text) > 50_000


def python_3_13_with_our_requirements() -> Path:
    """Return a Python 3.13 that can run us, made once per machine; skip where that cannot be."""
    requirements = needed_requirements()
    name = hashlib.sha256(requirements.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"reconciler-python3.13-{os.getuid()}-{name}"
    python, stamp = folder / "venv" / "bin" / "python", folder / "installed"
    if stamp.exists():
        return python
    found = find_python_3_13()
    if found is None:
        pytest.skip("there is no Python 3.13 on this machine")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    commands: list[list[str | Path]] = [
        [found, "-m", "venv", folder / "venv"],
        [python, "-m", "pip", "install", "-q", "-r", folder / "requirements.txt"],
    ]
    for command in commands:
        try:
            made = subprocess.run(
                command, capture_output=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("the requirements could not be installed for Python 3.13 in time")
        if made.returncode != 0:
            last = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
            pytest.skip(f"the requirements cannot be installed for Python 3.13: {last}")
    stamp.touch()
    return python


def needed_requirements() -> str:
    """Return the pins of the product, and of what makes rows for tests."""
    base, dev = (ROOT / "requirements" / name for name in ("base.txt", "dev.txt"))
    pins = re.findall(
        r"^(?:factory-boy|faker)==.*\\\n(?:\s+--hash=.*\n)+", dev.read_text(), flags=re.MULTILINE
    )
    return "\n".join([base.read_text(), *pins])


def find_python_3_13() -> Path | None:
    """Return an interpreter that really runs: a version manager's shim may not."""
    versions = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which("python3.13"), *sorted(versions.glob("3.13*/bin/python3.13"))]
    for candidate in candidates:
        if candidate is None:
            continue
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2] == (3, 13))"],
            capture_output=True,
            check=False,
        )
        if asked.stdout.strip() == b"True":
            return Path(candidate)
    return None
