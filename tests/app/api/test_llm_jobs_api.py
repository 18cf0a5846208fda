from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.store.database import Database
from queues.embedded import free_port

QUERY = {"query": "remind me to call the dentist tomorrow at 9"}
JOB = {"job_type": "intent_classify", "payload": QUERY, "user_id": 12345}
FIELDS = [
    "id",
    "job_type",
    "queue",
    "payload",
    "user_id",
    "status",
    "result",
    "error_message",
    "error_code",
    "attempts",
    "failures",
    "max_attempts",
    "priority",
    "metadata",
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
    "next_attempt_at",
    "model",
    "usage",
]

Submit = Callable[..., dict[str, Any]]
AssertProblem = Callable[..., dict[str, Any]]


def next_address(link_header: str) -> str:
    address, _, rel = link_header.partition("; ")
    assert rel == 'rel="next"'
    return address.strip("<>")


def test_a_submitted_job_is_answered_with_201_its_address_and_all_its_fields(
    client: FlaskClient,
) -> None:
    response = client.post("/llm_jobs", json=JOB)
    assert response.status_code == 201
    job = response.json
    assert list(job) == FIELDS
    assert response.headers["Location"] == f"/llm_jobs/{job['id']}"
    assert (job["status"], job["queue"], job["payload"]) == ("queued", "llm_intent", QUERY)
    assert (job["user_id"], job["max_attempts"], job["priority"]) == (12345, 5, "normal")
    assert job["usage"] == {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    assert job["created_at"].endswith("Z")
    assert client.get(response.headers["Location"]).json == job


def test_a_job_keeps_what_was_asked_of_it(client: FlaskClient) -> None:
    asked = {
        "max_attempts": 2,
        "priority": "high",
        "metadata": {"source": "telegram", "b": [1, None]},
        "run_at": "2099-01-31T09:00:00+01:00",
    }
    job = client.post("/llm_jobs", json=JOB | asked).json
    assert (job["max_attempts"], job["priority"], job["queue"]) == (2, "high", "llm_intent-high")
    assert job["metadata"] == asked["metadata"]
    assert job["next_attempt_at"] == "2099-01-31T08:00:00Z"


def test_a_job_is_accepted_while_redis_is_down(
    database: Database, make_app: Callable[..., Flask]
) -> None:
    client = make_app(database, f"redis://127.0.0.1:{free_port()}/0").test_client()
    response = client.post("/llm_jobs", json=JOB)
    assert (response.status_code, response.json["status"]) == (201, "queued")


def test_an_unknown_job_type_is_refused_with_those_that_exist(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    response = sqlite_client.post("/llm_jobs", json={"job_type": "sing", "payload": {}})
    problem = assert_problem(response, 422, "unknown_job_type")
    assert "intent_classify" in problem["job_types"]


def test_a_bad_payload_is_refused_by_field(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    body = {"job_type": "task_match", "payload": {"memory_id": 5}}
    problem = assert_problem(sqlite_client.post("/llm_jobs", json=body), 422, "invalid_input")
    assert {error["loc"] for error in problem["errors"]} == {
        "payload.memory_id",
        "payload.memory_content",
    }


@pytest.mark.parametrize(
    ("changed", "loc"),
    [
        ({"user_id": 2**63}, "user_id"),
        ({"user_id": -(2**63) - 1}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": "12345"}, "user_id"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"priority": "urgent"}, "priority"),
        ({"metadata": []}, "metadata"),
        ({"payload": "text"}, "payload"),
        ({"run_at": "2030-01-31T09:00:00"}, "run_at"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "2030-01-31"}, "run_at"),
        ({"run_at": 1_900_000_000}, "run_at"),
        ({"run_at": "9999-12-31T23:59:59-12:00"}, "run_at"),
        ({"prioritty": "high"}, "prioritty"),
        ({"job_type": None}, "job_type"),
    ],
)
def test_a_wrong_field_is_named(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, changed: dict[str, Any], loc: str
) -> None:
    response = sqlite_client.post("/llm_jobs", json=JOB | changed)
    problem = assert_problem(response, 422, "invalid_input")
    assert [error["loc"] for error in problem["errors"]] == [loc]
    assert problem["detail"].startswith(f"{loc}: ")
    assert sqlite_client.get("/llm_jobs").json == []


@pytest.mark.parametrize("user_id", [2**63 - 1, -(2**63), 0, None])
def test_a_user_is_any_64_bit_integer(client: FlaskClient, user_id: int | None) -> None:
    job = client.post("/llm_jobs", json=JOB | {"user_id": user_id}).json
    assert job["user_id"] == user_id
    if user_id is not None:
        assert [row["id"] for row in client.get(f"/llm_jobs?user_id={user_id}").json] == [job["id"]]


def test_the_same_idempotency_key_and_body_give_the_first_job(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/llm_jobs", json=JOB, headers=headers)
    second = client.post("/llm_jobs", json=JOB, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Location"] == first.headers["Location"]
    assert len(client.get("/llm_jobs").json) == 1


def test_an_idempotency_key_with_another_body_is_a_conflict(
    client: FlaskClient, assert_problem: AssertProblem
) -> None:
    headers = {"Idempotency-Key": "order-17"}
    client.post("/llm_jobs", json=JOB, headers=headers)
    other = JOB | {"payload": {"query": "something else"}}
    response = client.post("/llm_jobs", json=other, headers=headers)
    assert_problem(response, 409, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_idempotency_key_has_1_to_200_characters(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, key: str
) -> None:
    response = sqlite_client.post("/llm_jobs", json=JOB, headers={"Idempotency-Key": key})
    problem = assert_problem(response, 422, "invalid_input")
    assert problem["errors"][0]["loc"] == "headers.idempotency_key"


def test_jobs_are_listed_newest_first_and_filtered(client: FlaskClient, submit: Submit) -> None:
    first, second = submit(user_id=1), submit(user_id=2)
    other = submit(job_type="followup", payload={"message": "hi"}, user_id=2)
    client.post(f"/llm_jobs/{first['id']}/cancel")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"/llm_jobs{query}").json]

    assert ids("") == [other["id"], second["id"], first["id"]]
    assert ids("?status=cancelled") == [first["id"]]
    assert ids("?job_type=followup") == [other["id"]]
    assert ids("?user_id=2&job_type=intent_classify") == [second["id"]]
    assert ids("?limit=1&offset=1") == [second["id"]]
    assert ids("?user_id=3") == []


def test_following_the_link_shows_every_job_once_while_others_arrive(
    client: FlaskClient, submit: Submit
) -> None:
    submitted = [submit(user_id=7)["id"] for _ in range(5)]
    address = "/llm_jobs?user_id=7&limit=2"
    seen = []
    for _ in range(10):
        response = client.get(address)
        seen += [job["id"] for job in response.json]
        submit(user_id=7)
        if "Link" not in response.headers:
            break
        address = next_address(response.headers["Link"])
        assert parse_qs(urlsplit(address).query)["user_id"] == ["7"]
    assert seen == submitted[::-1]


def test_a_full_last_page_has_no_link(client: FlaskClient, submit: Submit) -> None:
    for _ in range(2):
        submit()
    assert "Link" not in client.get("/llm_jobs?limit=2").headers
    assert "Link" in client.get("/llm_jobs?limit=1").headers


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=0", "query.limit"),
        ("limit=201", "query.limit"),
        ("limit=x", "query.limit"),
        ("offset=-1", "query.offset"),
        ("offset=99999999999999999999", "query.offset"),
        ("status=done", "query.status"),
        ("user_id=9223372036854775808", "query.user_id"),
        ("stauts=queued", "query.stauts"),
        ("cursor=nonsense", "query.cursor"),
        ("cursor=%C3%BC", "query.cursor"),
        ("cursor=MjAyNi0wMS0wMXxhYg", "query.cursor"),
    ],
)
def test_a_wrong_query_is_named(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, query: str, loc: str
) -> None:
    problem = assert_problem(sqlite_client.get(f"/llm_jobs?{query}"), 422, "invalid_input")
    assert [error["loc"] for error in problem["errors"]] == [loc]
