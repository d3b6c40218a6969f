"""What never reaches a log line, whoever writes it: tokens, passwords, tracebacks of outages."""

import logging
import sqlite3

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from reconciler_site.databases import database
from reconciler_site.logging import FactsFormatter, OutageFilter, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Internal Server Error: /api/v1/webhooks/s3cr3t", "/api/v1/webhooks/[hidden]"),
        ("'/api/v1/webhooks/s3cr3t/'", "'/api/v1/webhooks/[hidden]/'"),
        ("postgres://app:s3cr3t@db/x", "postgres://app:[hidden]@db/x"),
        ("https://:s3cr3t@git.example/a.git", "https://:[hidden]@git.example/a.git"),
        ("postgres://app:s3@cr3t@db/x", "postgres://app:[hidden]@db/x"),
        ("Bearer rcl_s3cr3t-x_y", "Bearer rcl_[hidden]"),
        ("holder_token=rlh_s3cr3t", "holder_token=rlh_[hidden]"),
        ("whsec_s3cr3t+/=", "whsec_[hidden]"),
    ],
)
def test_secrets_are_left_out_of_a_line(text: str, shown: str) -> None:
    line = without_secrets(text)

    assert shown in line
    assert "s3" not in line


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8000/ready", "at 12:00 on host:22 user@host", "/webhooks/ none"]
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert without_secrets(text) == text


def record(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error) as raised:
        info = (type(raised), raised, raised.__traceback__)
    return logging.LogRecord("django.request", logging.ERROR, "", 0, "%s: %s", ("A", "/x"), info)


def test_a_database_that_is_away_is_one_line_and_a_fault_of_ours_keeps_its_traceback() -> None:
    away = record(OperationalError("connection refused"))
    fault = record(RuntimeError("at /api/v1/webhooks/s3cr3t"))

    lines = [FactsFormatter().format(one) for one in (away, fault) if OutageFilter().filter(one)]

    assert lines[0].endswith("A: /x code=unavailable error=connection refused")
    assert "\n" not in lines[0]
    assert "Traceback" in lines[1]
    assert "s3cr3t" not in lines[1]


def test_a_full_disk_is_called_so_in_the_log() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorname = "SQLITE_FULL"
    error = OperationalError("database or disk is full")
    error.__cause__ = full
    logged = record(error)

    OutageFilter().filter(logged)

    assert "code=disk_full" in logged.getMessage()


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:s3cr3t/2@h/x",
        "postgres://u:s3cr3t@h:port/x",
        "s3cr3t",
        "mysql://u:s3cr3t@h/x",
        "postgres://u:s3cr3t[@h/x",
        "postgres://u:s3cr3t#2@h/x",
    ],
)
def test_a_database_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        database(url)

    assert "s3cr3t" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
