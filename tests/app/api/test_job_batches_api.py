import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from app.api import job_batches

QUERY = {"query": "remind me to call the dentist tomorrow at 9"}
AssertProblem = Callable[..., dict[str, Any]]


def job(**fields: Any) -> dict[str, Any]:
    return {"job_type": "intent_classify", "payload": QUERY, **fields}


def test_a_batch_is_accepted_in_order_and_dispatched(
    client: FlaskClient, redis_client: Redis
) -> None:
    response = client.post("/llm_jobs/batch", json=[job(user_id=number) for number in range(30)])
    assert response.status_code == 201
    answer = response.json
    assert (answer["accepted"], answer["errors"]) == (30, [])
    rows = [client.get(f"/llm_jobs/{job_id}").json for job_id in answer["jobs"]]
    assert [row["user_id"] for row in rows] == list(range(30))
    assert redis_client.llen("rq:queue:llm_intent") == 30


def test_a_wrong_entry_is_refused_alone(client: FlaskClient) -> None:
    batch = [
        job(),
        {"job_type": "sing", "payload": {}},
        job(user_id="x"),
        7,
        {"job_type": "followup", "payload": {}},
        job(),
    ]
    answer = client.post("/llm_jobs/batch", json=batch).json
    assert answer["accepted"] == len(answer["jobs"]) == 2
    assert [(error["index"], error["code"]) for error in answer["errors"]] == [
        (1, "unknown_job_type"),
        (2, "invalid_input"),
        (3, "invalid_input"),
        (4, "invalid_input"),
    ]
    assert answer["errors"][1]["detail"].startswith("user_id: ")
    assert "payload.message" in answer["errors"][3]["detail"]


def test_jsonl_is_read_line_by_line(client: FlaskClient) -> None:
    lines = [json.dumps(job()), "", "{not json", json.dumps(job(priority="low"))]
    response = client.post(
        "/llm_jobs/batch", data="\r\n".join(lines), content_type="application/x-ndjson"
    )
    answer = response.json
    assert (response.status_code, answer["accepted"]) == (201, 2)
    assert [(error["index"], error["code"]) for error in answer["errors"]] == [(1, "bad_request")]


def test_each_job_of_a_batch_has_its_own_idempotency_key(client: FlaskClient) -> None:
    batch = [job(idempotency_key="a"), job(idempotency_key="b"), job()]
    first = client.post("/llm_jobs/batch", json=batch).json
    second = client.post("/llm_jobs/batch", json=batch).json
    assert second["jobs"][:2] == first["jobs"][:2]
    assert second["jobs"][2] != first["jobs"][2]
    other = job(idempotency_key="a", user_id=None, priority="high")
    (error,) = client.post("/llm_jobs/batch", json=[other]).json["errors"]
    assert (error["index"], error["code"]) == (0, "idempotency_key_reused")


def test_an_empty_batch_accepts_nothing(sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.post("/llm_jobs/batch", json=[]).json
    assert answer == {"accepted": 0, "jobs": [], "errors": []}


def test_more_jobs_than_the_limit_are_refused_as_a_whole(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_batches, "MAX_JOBS", 3)
    assert sqlite_client.post("/llm_jobs/batch", json=[job()] * 3).json["accepted"] == 3
    response = sqlite_client.post("/llm_jobs/batch", json=[job()] * 4)
    assert_problem(response, 413, "too_large")
    assert len(sqlite_client.get("/llm_jobs").json) == 3


def test_a_body_over_the_limit_is_refused_as_a_whole(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_batches, "MAX_BATCH_BYTES", 2_000)
    response = sqlite_client.post("/llm_jobs/batch", json=[job()] * 50)
    assert_problem(response, 413, "too_large")
    assert sqlite_client.get("/llm_jobs").json == []


def test_a_batch_may_be_larger_than_a_single_job(sqlite_client: FlaskClient) -> None:
    batch = [job(metadata={"text": "x" * 600_000})] * 3
    answer = sqlite_client.post("/llm_jobs/batch", json=batch).json
    assert answer["accepted"] == 3


def test_a_batch_cut_off_in_the_middle_submits_nothing(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    body = json.dumps([job()] * 5)[:-40]
    response = sqlite_client.post("/llm_jobs/batch", data=body, content_type="application/json")
    assert_problem(response, 400, "bad_request")
    assert sqlite_client.get("/llm_jobs").json == []


def test_another_media_type_is_refused_with_both_that_are_accepted(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    response = sqlite_client.post("/llm_jobs/batch", data="x", content_type="text/csv")
    problem = assert_problem(response, 415, "unsupported_media_type")
    assert "application/json" in problem["detail"]
    assert "application/x-ndjson" in problem["detail"]
