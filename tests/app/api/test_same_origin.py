from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.store.database import Database

AssertProblem = Callable[..., dict[str, Any]]
JOB = {"job_type": "followup", "payload": {"message": "hi"}}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://[::1"},
    ],
)
def test_another_sites_page_changes_nothing(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, headers: dict[str, str]
) -> None:
    job_id = sqlite_client.post("/llm_jobs", json=JOB).json["id"]
    for address in ("/llm_jobs", f"/llm_jobs/{job_id}/cancel"):
        assert_problem(sqlite_client.post(address, json=JOB, headers=headers), 403, "forbidden")
    assert sqlite_client.get(f"/llm_jobs/{job_id}").json["status"] == "queued"
    assert len(sqlite_client.get("/llm_jobs").json) == 1


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}]
)
def test_programs_and_pages_of_ours_pass(
    sqlite_client: FlaskClient, headers: dict[str, str]
) -> None:
    assert sqlite_client.post("/llm_jobs", json=JOB, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "10.0.0.1", "localhost.x", "[::1"]
)
def test_a_name_that_is_not_this_machines_is_refused(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, host: str
) -> None:
    problem = assert_problem(
        sqlite_client.get("/llm_jobs", headers={"Host": host}), 403, "forbidden"
    )
    assert "ALLOW_NO_KEYS=1" in problem["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "jobs.localhost"]
)
def test_this_machines_names_are_answered(sqlite_client: FlaskClient, host: str) -> None:
    assert sqlite_client.get("/llm_jobs", headers={"Host": host}).status_code == 200


def test_any_name_is_answered_where_something_else_keeps_others_away(
    sqlite_database: Database, redis_url: str, make_app: Callable[..., Flask]
) -> None:
    client = make_app(sqlite_database, redis_url, ALLOW_NO_KEYS="1").test_client()
    assert client.get("/llm_jobs", headers={"Host": "jobs.internal"}).status_code == 200
