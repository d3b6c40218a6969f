"""Holds the whole tree to the house rules that no linter knows; reads files, changes nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
APPS = ("audit", "governance", "reconciliation", "reconciler_site")
MOST_LINES_OF_A_FILE = 400

# A reason is a sentence, not a word: "tests" would not tell anybody why.
REASON = re.compile(r"\s#\s+\S+(\s+\S+){2,}")
ADDRESS = re.compile(r"(https?|file|git\+\w+)://", re.IGNORECASE)


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert found, f"no Python files under {folders}: the test would pass whatever they held"
    return sorted(found)


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def requirement_files(suffix: str) -> list[Path]:
    found = sorted((ROOT / "requirements").glob(f"*.{suffix}"))
    assert found, f"no requirements/*.{suffix}"
    return found


def our_commands() -> list[str]:
    ours = sorted(name for name, app in get_commands().items() if str(app) in APPS)
    return ours or ["there are none yet"]


def test_helpers_live_with_what_they_help_so_nothing_is_called_utils() -> None:
    vague = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}

    assert relative([path for path in python_files(*APPS, "tests") if path.name in vague]) == []


def test_every_name_in_a_file_can_be_traced_to_its_import() -> None:
    starred = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(*APPS, "demo", "tests", "scripts")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        # Settings build on one another with a star: Django's custom, and each says so.
        if not (node.module or "").startswith("reconciler_site.settings")
    ]

    assert starred == []


def test_no_file_of_the_apps_grows_past_what_one_can_read_in_one_go() -> None:
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files(*APPS)
        if "migrations" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES_OF_A_FILE
    }

    assert too_long == {}


def test_every_module_opens_by_saying_what_it_is() -> None:
    silent = [
        path
        for path in python_files(*APPS)
        if "migrations" not in path.parts
        and (source := path.read_text(encoding="utf-8").strip())
        and ast.get_docstring(ast.parse(source)) is None
    ]

    assert relative(silent) == []


def test_the_apps_import_one_another_only_as_the_map_allows() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    checked = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", requirement_files("in"), ids=lambda path: path.name)
def test_every_direct_dependency_says_why_it_is_there(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    dependencies = [line for line in lines if not line.startswith(("#", "-r ", "-c "))]

    assert dependencies != []
    assert [line for line in dependencies if not REASON.search(line)] == []


@pytest.mark.parametrize(
    "path", requirement_files("in") + requirement_files("txt"), ids=lambda path: path.name
)
def test_requirements_name_packages_and_never_the_place_to_get_them(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if ADDRESS.search(line)] == []


@pytest.mark.parametrize("path", requirement_files("txt"), ids=lambda path: path.name)
def test_every_installed_package_is_pinned_exactly_and_by_hash(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8"))
    packages = [entry for entry in entries if not entry.startswith("#")]

    assert packages != []
    assert [entry for entry in packages if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("path", requirement_files("in"), ids=lambda path: path.name)
def test_compiled_requirements_hold_every_direct_dependency(path: Path) -> None:
    name = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
    asked = {found.lower() for found in name.findall(path.read_text(encoding="utf-8"))}

    compiled = path.with_suffix(".txt").read_text(encoding="utf-8")

    assert asked - {found.lower() for found in name.findall(compiled)} == set()


@pytest.mark.parametrize("name", our_commands())
def test_every_command_of_ours_can_answer_a_program(name: str) -> None:
    app = get_commands().get(name)
    if app is None:
        pytest.skip("no management commands of our own yet")
    command = load_command_class(str(app), name)

    options = command.create_parser("manage.py", name)._option_string_actions

    assert "--json" in options
