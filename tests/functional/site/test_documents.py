"""The API describes itself, and its page works under a strict content security policy."""

import re
from pathlib import Path

import pytest
import yaml
from django.test import Client

pytestmark = pytest.mark.django_db


def test_the_schema_names_the_audit_trail_and_how_to_authenticate() -> None:
    answer = Client().get("/api/v1/schema")

    schema = yaml.safe_load(answer.content)
    assert schema["openapi"].startswith("3.1")
    assert {"/api/v1/audit/entries", "/api/v1/audit/verify"} <= set(schema["paths"])
    assert set(schema["components"]["securitySchemes"]) == {"apiToken", "session"}
    listed = schema["paths"]["/api/v1/audit/entries"]["get"]
    assert {"correlation_id", "since", "until", "cursor"} <= {
        parameter["name"] for parameter in listed["parameters"]
    }


def test_the_page_of_the_schema_needs_no_inline_script() -> None:
    answer = Client().get("/api/v1/docs")

    page = answer.content.decode()
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert "script-src" not in policy  # so that default-src holds for scripts
    assert "default-src 'self'" in policy
    assert "style-src 'self' 'unsafe-inline'" in policy


@pytest.mark.parametrize("path", ["/admin/login/", "/nothing", "/find?q=%00"])
def test_other_pages_allow_no_inline_style_either(path: str) -> None:
    policy = Client().get(path).headers["Content-Security-Policy"]

    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("has_several_processes", [False, True])
def test_metrics_hold_the_loops_numbers_and_those_of_requests(
    has_several_processes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_several_processes:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    answer = Client().get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "reconciler_collector_up 1.0" in answer.content.decode()
    assert ("django_http_requests_before" in answer.content.decode()) is not has_several_processes


def test_metrics_take_no_other_method() -> None:
    answer = Client().post("/metrics")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
