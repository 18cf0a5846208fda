import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Submit = Callable[..., dict[str, Any]]
AssertProblem = Callable[..., dict[str, Any]]


def test_waiting_answers_as_soon_as_the_job_is_final(client: FlaskClient, submit: Submit) -> None:
    job_id = submit()["id"]
    timer = threading.Timer(0.3, lambda: client.post(f"/llm_jobs/{job_id}/cancel"))
    timer.start()
    began = time.monotonic()
    job = client.get(f"/llm_jobs/{job_id}?wait=30").json
    timer.join()
    assert job["status"] == "cancelled"
    assert time.monotonic() - began < 10


def test_waiting_answers_with_the_job_as_it_is_when_the_time_is_over(
    client: FlaskClient, submit: Submit
) -> None:
    job_id = submit()["id"]
    began = time.monotonic()
    job = client.get(f"/llm_jobs/{job_id}?wait=0.5").json
    assert job["status"] == "queued"
    assert 0.5 <= time.monotonic() - began < 5


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "inf", "soon"])
def test_a_wait_is_0_to_60_seconds(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, wait: str
) -> None:
    assert_problem(sqlite_client.get(f"/llm_jobs/x?wait={wait}"), 422, "invalid_input")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/llm_jobs/nothing"),
        ("GET", "/llm_jobs/nothing?wait=5"),
        ("GET", "/llm_jobs/nothing/history"),
        ("POST", "/llm_jobs/nothing/cancel"),
        ("POST", "/llm_jobs/nothing/retry"),
        ("PATCH", "/llm_jobs/nothing"),
    ],
)
def test_an_unknown_job_is_404(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, method: str, address: str
) -> None:
    body = {"status": "processing"} if method == "PATCH" else None
    assert_problem(sqlite_client.open(address, method=method, json=body), 404, "not_found")


def test_a_worker_outside_claims_and_completes_a_job_by_patch(
    client: FlaskClient, submit: Submit
) -> None:
    address = f"/llm_jobs/{submit(user_id=1)['id']}"
    claimed = client.patch(address, json={"status": "processing"}).json
    assert (claimed["status"], claimed["attempts"]) == ("processing", 1)
    done = {"status": "completed", "result": {"intent": "reminder"}, "attempt": 1}
    job = client.patch(address, json=done).json
    assert (job["status"], job["result"]) == ("completed", {"intent": "reminder"})
    history = client.get(f"{address}/history").json
    moves = [(step["from"], step["to"]) for step in history["transitions"]]
    assert moves == [(None, "queued"), ("queued", "processing"), ("processing", "completed")]
    assert list(history["transitions"][0]) == ["from", "to", "at", "attempt", "actor", "reason"]
    (attempt,) = history["attempts"]
    assert list(attempt) == [
        "attempt",
        "worker",
        "started_at",
        "finished_at",
        "outcome",
        "error_code",
        "model",
        "usage",
    ]
    assert (attempt["attempt"], attempt["finished_at"] is None) == (1, False)


def test_a_stale_attempt_is_a_conflict(
    client: FlaskClient, submit: Submit, assert_problem: AssertProblem
) -> None:
    address = f"/llm_jobs/{submit()['id']}"
    client.patch(address, json={"status": "processing"})
    response = client.patch(address, json={"status": "completed", "result": {}, "attempt": 2})
    assert_problem(response, 409, "stale_attempt")


def test_an_illegal_move_is_a_conflict_that_names_the_legal_ones(
    client: FlaskClient, submit: Submit, assert_problem: AssertProblem
) -> None:
    address = f"/llm_jobs/{submit()['id']}"
    response = client.patch(address, json={"status": "completed", "result": {}})
    problem = assert_problem(response, 409, "illegal_transition")
    assert problem["legal"] == ["cancelled", "error", "processing"]


@pytest.mark.parametrize(
    "body", [{}, {"status": "done"}, {"status": "processing", "attempt": 0}, {"state": "x"}]
)
def test_a_patch_that_makes_no_sense_is_refused(
    client: FlaskClient, submit: Submit, assert_problem: AssertProblem, body: dict[str, Any]
) -> None:
    response = client.patch(f"/llm_jobs/{submit()['id']}", json=body)
    assert_problem(response, 422, "invalid_input")


def test_a_job_is_cancelled_once(
    client: FlaskClient, submit: Submit, assert_problem: AssertProblem
) -> None:
    address = f"/llm_jobs/{submit()['id']}/cancel"
    assert client.post(address).json["status"] == "cancelled"
    problem = assert_problem(client.post(address), 409, "illegal_transition")
    assert problem["legal"] == []


def test_a_failed_job_can_be_retried_and_a_queued_one_cannot(
    client: FlaskClient, submit: Submit, assert_problem: AssertProblem
) -> None:
    address = f"/llm_jobs/{submit()['id']}"
    assert_problem(client.post(f"{address}/retry"), 409, "illegal_transition")
    client.patch(address, json={"status": "processing"})
    failed = client.patch(address, json={"status": "failed", "error_message": "no luck"}).json
    assert (failed["status"], failed["error_message"]) == ("failed", "no luck")
    job = client.post(f"{address}/retry").json
    assert (job["status"], job["max_attempts"]) == ("queued", 5)
