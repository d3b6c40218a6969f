"""Where the demonstration is served, and which database it makes."""

import os
import socket
from pathlib import Path

import psycopg
import pytest

from demo.database import make_database
from demo.main import Demo
from demo.story import HEARTBEAT_SECONDS, POLICY

ROOT = Path(__file__).resolve().parents[3]


def demo(port: int | None) -> Demo:
    return Demo(once=True, json_path=None, port=port)


def test_a_port_that_is_in_use_is_named_and_nothing_is_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SystemExit, match=f"Port {port} is in use: give another"):
            demo(port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(SystemExit, match="is no port"):
        demo(port)


def test_without_a_port_a_free_one_is_taken() -> None:
    assert 1 <= demo(None).port <= 65535


def test_make_hands_the_port_over() -> None:
    assert '$(if $(PORT),--port "$(PORT)")' in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("url", ["", "sqlite:////tmp/some.sqlite3"])
def test_without_a_postgresql_no_database_is_made(url: str) -> None:
    assert make_database(url) is None


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    url = "postgres://somebody:swordfish@127.0.0.1:1/app"

    with pytest.raises(SystemExit, match="a database of its own, app_demo") as told:
        make_database(url)

    assert "swordfish" not in str(told.value)


@pytest.mark.postgres
def test_on_postgresql_a_database_of_its_own_is_made_anew_each_time() -> None:
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"

    for _ in range(2):
        made = make_database(url)
        assert made is not None
        assert made.name == "postgres_demo"
        with psycopg.connect(made.url) as connection:
            connection.execute("CREATE TABLE only_once (id int)")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("DROP DATABASE postgres_demo WITH (FORCE)")


def test_the_heartbeat_that_scenes_wait_for_is_the_policys() -> None:
    assert f"heartbeat_seconds: {HEARTBEAT_SECONDS}\n" in POLICY
