"""Whatever fails: machines get problem details, people a page, and both the correlation id."""

import io
import logging
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings

from reconciler_site.logging import CorrelationFilter, FactsFormatter

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.functional.site.exploding_urls"),
]

CORRELATION = "caller-chosen-0001"


@pytest.fixture
def browser() -> Client:
    """A client that shows what a person would see, and does not raise what the view raised."""
    return Client(
        raise_request_exception=False, headers={"X-Correlation-ID": CORRELATION, "Accept": "*/*"}
    )


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the site would write to its log about failed requests."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(CorrelationFilter())
    handler.setFormatter(FactsFormatter())
    loggers = [logging.getLogger("django.request"), logging.getLogger("reconciler.request")]
    for logger in loggers:
        logger.addHandler(handler)
    yield written
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("failure", "status", "code", "said"),
    [
        ("unexpected", 500, "internal_error", "quote the correlation id"),
        ("database", 503, "unavailable", "try again"),
        ("missing", 404, "not_found", "There is no such branch."),
        ("denied", 403, "forbidden", "Only admins may."),
        ("suspicious", 400, "bad_request", "could not be understood"),
    ],
)
@pytest.mark.parametrize("kind", ["explode", "plain"])
def test_a_program_gets_problem_details_whatever_a_view_does(
    browser: Client, kind: str, failure: str, status: int, code: str, said: str
) -> None:
    answer = browser.get(f"/api/v1/{kind}/{failure}")

    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert said in problem["detail"]
    assert problem["correlation_id"] == answer.headers["X-Correlation-ID"] == CORRELATION
    assert "hunter2" not in answer.content.decode()
    assert "db.internal" not in answer.content.decode()


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        ("unexpected", 500, "unexpected"),
        ("database", 503, ""),
        ("missing", 404, ""),
        ("denied", 403, "Only admins may."),
        ("suspicious", 400, "could not be understood"),
    ],
)
def test_a_person_gets_a_page_that_names_the_correlation_id(
    browser: Client, failure: str, status: int, said: str
) -> None:
    answer = browser.get(f"/pages/explode/{failure}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    assert CORRELATION in page
    assert said in page
    assert "hunter2" not in page
    assert "Traceback" not in page


def test_a_database_that_does_not_answer_is_told_when_to_come_back(browser: Client) -> None:
    assert browser.get("/api/v1/explode/database").headers["Retry-After"] == "5"
    assert browser.get("/pages/explode/database").headers["Retry-After"] == "5"


def test_a_program_that_asks_for_json_gets_it_at_every_address(browser: Client) -> None:
    for path in ("/pages/explode/unexpected", "/no/such/page"):
        answer = browser.get(path, headers={"Accept": "application/json"})

        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/metrics/nothing", "/healthz/"])
def test_unknown_addresses_of_machines_are_problems(browser: Client, path: str) -> None:
    answer = browser.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "tried" not in answer.content.decode()


def test_an_unknown_address_of_people_is_a_page(browser: Client) -> None:
    answer = browser.get("/no/such/page")

    assert answer.status_code == 404
    assert CORRELATION in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/v1/explode/missing", "/api/v1/only-get", "/healthz"])
def test_a_method_an_address_does_not_take_is_answered_with_those_it_takes(
    browser: Client, path: str
) -> None:
    answer = browser.delete(path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_a_person_who_sends_a_wrong_method_does_not_see_an_empty_page(browser: Client) -> None:
    answer = browser.post("/pages/only-get")

    assert answer.status_code == 405
    assert CORRELATION in answer.content.decode()
    assert answer.headers["Allow"] == "GET"


def test_a_body_of_a_type_nobody_reads_is_a_problem(browser: Client) -> None:
    answer = browser.post("/api/v1/explode/x", b"<a/>", content_type="text/xml")

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_body_that_is_no_json_is_a_problem(browser: Client) -> None:
    answer = browser.post("/api/v1/explode/x", b"{", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


def test_errors_of_fields_are_listed_with_pointers(browser: Client) -> None:
    problem = browser.get("/api/v1/explode/invalid").json()

    assert problem["code"] == "invalid"
    assert problem["errors"] == [{"pointer": "/reason", "code": "invalid", "detail": "Too short."}]


def test_a_throttled_caller_is_told_when_to_come_back(browser: Client) -> None:
    answer = browser.get("/api/v1/explode/throttled")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_an_error_status_of_a_view_in_html_is_translated_for_programs(browser: Client) -> None:
    answer = browser.get("/api/v1/teapot")

    assert answer.status_code == 418
    assert answer.json()["correlation_id"] == CORRELATION


@override_settings(API_BODY_LIMIT_BYTES=10)
def test_a_body_over_the_limit_is_refused_before_it_is_read(browser: Client) -> None:
    at_limit = browser.post("/api/v1/explode/x", b'{"a":"12"}', content_type="application/json")
    over = browser.post("/api/v1/explode/x", b'{"a":"123"}', content_type="application/json")

    assert at_limit.status_code == 200
    assert (over.status_code, over.json()["code"]) == (413, "too_large")


@override_settings(API_BODY_LIMIT_BYTES=10)
def test_the_webhook_receiver_sets_its_own_limits(browser: Client) -> None:
    answer = browser.post("/api/v1/webhooks/nobody", b"x" * 50, content_type="application/json")

    assert answer.status_code != 413


@pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", "x" * 300, "host:port"])
@pytest.mark.parametrize("path", ["/api/v1/audit/entries", "/healthz", "/readyz"])
def test_a_malformed_or_foreign_host_is_a_problem(browser: Client, path: str, host: str) -> None:
    answer = browser.get(path, headers={"Host": host})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["correlation_id"] == CORRELATION


@pytest.mark.parametrize("address", ["/repositories/a%00b/c", "/find?q=%00", "/api/v1/%00"])
def test_a_nul_character_is_refused_before_it_reaches_the_database(
    browser: Client, address: str
) -> None:
    assert browser.get(address).status_code == 400


@pytest.mark.parametrize("address", ["/%ff%fe", "/api/v1/%ff", "/find?q=%ff%fe", "/?" + "a" * 9000])
def test_addresses_that_are_no_text_fail_nothing(browser: Client, address: str) -> None:
    assert browser.get(address).status_code < 500


def test_a_form_without_its_token_is_a_page_that_says_what_to_do() -> None:
    strict = Client(enforce_csrf_checks=True, headers={"X-Correlation-ID": CORRELATION})

    answer = strict.post("/admin/login/", {"username": "a", "password": "b"})

    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()
    assert CORRELATION in answer.content.decode()


def test_an_unexpected_error_is_logged_once_with_traceback_and_correlation_id(
    browser: Client, log: io.StringIO
) -> None:
    for path in (
        "/api/v1/explode/unexpected",
        "/api/v1/plain/unexpected",
        "/pages/explode/unexpected",
    ):
        log.truncate(0)

        browser.get(path)

        said = log.getvalue()
        assert said.count(f"correlation_id={CORRELATION}") == 1
        assert said.count("RuntimeError: secret") == 1
        assert path in said


def breaking_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> object:
    def middleware(request: HttpRequest) -> HttpResponse:
        if request.headers.get("X-Break"):
            raise RuntimeError("middleware failed")
        return get_response(request)

    return middleware


@pytest.mark.parametrize("place", [1, 5, -1])
def test_an_error_in_a_middleware_is_structured_too(place: int) -> None:
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(place if place >= 0 else len(middleware), f"{__name__}.breaking_middleware")
    with override_settings(MIDDLEWARE=middleware):
        client = Client(raise_request_exception=False)
        answer = client.get(
            "/api/v1/schema", headers={"X-Break": "1", "X-Correlation-ID": CORRELATION}
        )

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["X-Correlation-ID"] == CORRELATION


def test_a_page_that_cannot_be_made_is_replaced_by_a_plain_one(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OperationalError("the session table is gone")

    monkeypatch.setattr("reconciler_site.errors.loader.render_to_string", fail)

    answer = browser.get("/pages/explode/missing")

    assert answer.status_code == 404
    assert CORRELATION in answer.content.decode()
    assert "There is no such branch." in answer.content.decode()


@pytest.mark.parametrize(
    "offered", ["short", "with space in it", "x" * 65, "-leading-dash", "a\tb" * 5]
)
def test_a_correlation_id_that_is_not_well_formed_is_replaced(offered: str) -> None:
    answer = Client().get("/healthz", headers={"X-Correlation-ID": offered})

    given = answer.headers["X-Correlation-ID"]
    assert given != offered
    assert len(given) == 36


def test_every_request_has_a_correlation_id_of_its_own() -> None:
    first, second = (Client().get("/healthz").headers["X-Correlation-ID"] for _ in range(2))

    assert first != second
    assert first[:13] <= second[:13]  # the milliseconds: by them ids sort
