import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.errors import DatabaseUnavailableError
from app.store.database import Database, open_database
from queues.embedded import free_port

JOB = {"job_type": "followup", "payload": {"message": "hi"}}
AssertProblem = Callable[..., dict[str, Any]]


def test_an_unknown_address_is_404_and_says_where_to_look(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    problem = assert_problem(sqlite_client.get("/nowhere"), 404, "not_found")
    assert "/docs" in problem["detail"]
    assert (problem["type"], problem["title"]) == ("about:blank", "Not Found")


def test_a_wrong_method_is_405_with_those_allowed(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    response = sqlite_client.delete("/llm_jobs")
    assert_problem(response, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", None, "multipart/form-data"]
)
def test_a_body_that_is_not_said_to_be_json_is_415_with_the_header_to_send(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, content_type: str | None
) -> None:
    response = sqlite_client.post("/llm_jobs", data="{}", content_type=content_type)
    problem = assert_problem(response, 415, "unsupported_media_type")
    assert "Content-Type: application/json" in problem["detail"]


def test_a_compressed_body_is_415(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    headers = {"Content-Encoding": "gzip"}
    response = sqlite_client.post("/llm_jobs", json=JOB, headers=headers)
    assert_problem(response, 415, "unsupported_media_type")


def test_json_with_a_charset_is_read(sqlite_client: FlaskClient) -> None:
    response = sqlite_client.post(
        "/llm_jobs",
        data=b'\xef\xbb\xbf{"job_type": "followup", "payload": {"message": "hi"}}',
        content_type="application/json; charset=utf-8",
    )
    assert response.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": 1e999}',
        rb'{"a": "\u0000"}',
        rb'{"a": "\ud800"}',
    ],
)
def test_a_body_that_is_not_strict_json_is_400(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, body: bytes
) -> None:
    for address in ("/llm_jobs", "/llm_jobs/batch", "/memories", "/tasks", "/events"):
        response = sqlite_client.post(address, data=body, content_type="application/json")
        assert_problem(response, 400, "bad_request")


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "17"])
def test_a_body_that_is_no_object_is_422(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, body: str
) -> None:
    response = sqlite_client.post("/llm_jobs", data=body, content_type="application/json")
    assert "object" in assert_problem(response, 422, "invalid_input")["detail"]


@pytest.mark.parametrize(
    "address", ["/llm_jobs?job_type=a%00b", "/memories/a%00b", "/search?q=%00", "/tasks/%00"]
)
def test_a_nul_in_the_address_is_400(
    client: FlaskClient, assert_problem: AssertProblem, address: str
) -> None:
    assert_problem(client.get(address), 400, "bad_request")


def test_a_body_of_2_mb_is_413(sqlite_client: FlaskClient, assert_problem: AssertProblem) -> None:
    body = JOB | {"metadata": {"text": "x" * 2_000_000}}
    problem = assert_problem(sqlite_client.post("/llm_jobs", json=body), 413, "too_large")
    assert "1 MB" in problem["detail"]


def test_a_body_under_1_mb_is_accepted(client: FlaskClient) -> None:
    body = JOB | {"metadata": {"text": "x" * 1_000_000}}
    assert client.post("/llm_jobs", json=body).status_code == 201


def test_without_a_database_every_call_is_503_with_retry_after(
    make_app: Callable[..., Flask], redis_url: str, assert_problem: AssertProblem
) -> None:
    database = open_database(
        f"postgresql+psycopg://nobody:hidden@127.0.0.1:{free_port()}/x", connect_timeout_s=1
    )
    client = make_app(database, redis_url).test_client()
    for response in (client.post("/llm_jobs", json=JOB), client.get("/llm_jobs")):
        problem = assert_problem(response, 503, DatabaseUnavailableError.code)
        assert int(response.headers["Retry-After"]) > 0
        assert "hidden" not in str(problem)


def test_a_surprise_is_500_without_a_trace_and_is_logged(
    sqlite_app: Flask,
    sqlite_database: Database,
    assert_problem: AssertProblem,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(sqlite_database.__class__, "read", lambda _self: fail())
    with caplog.at_level(logging.ERROR):
        response = sqlite_app.test_client().get("/llm_jobs")
    assert "secret detail" not in str(assert_problem(response, 500, "internal_error"))
    (record,) = [record for record in caplog.records if record.name == "app.api.problems"]
    assert record.getMessage() == "GET /llm_jobs failed"
    assert record.exc_info


def test_every_response_tells_browsers_to_trust_nothing(sqlite_client: FlaskClient) -> None:
    for address in ("/llm_jobs", "/nowhere", "/docs", "/openapi.json", "/static/docs.js", "/rq/"):
        with sqlite_client.get(address) as response:
            headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff", address
        assert headers["Referrer-Policy"] == "same-origin", address
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, address
        assert "unsafe-inline" not in policy.partition("style-src")[0], address
