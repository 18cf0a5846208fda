"""What a client sees that got it wrong: the status, a stable code, and what to do."""

import json

import pytest
import requests

FOLLOWUP = {"job_type": "followup", "payload": {"message": "tea"}}
DEEP = '{"job_type": "followup", "payload": ' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}"


@pytest.fixture(scope="module")
def answers(running):
    """The answers to six wrong requests, sent to a running system."""
    finished = running.submit("followup", FOLLOWUP["payload"])
    running.wait_for(finished, "completed")

    def send(method, path, text):
        return requests.request(
            method,
            f"{running.web_url}{path}",
            data=text,
            headers={"Content-Type": "application/json"},
            timeout=30,
        )

    large = json.dumps(FOLLOWUP | {"metadata": {"note": "x" * 2 * 1024 * 1024}})
    return {
        "unknown type": send("POST", "/llm_jobs", '{"job_type": "tea", "payload": {}}'),
        "bad payload": send("POST", "/llm_jobs", '{"job_type": "followup", "payload": {}}'),
        "illegal patch": send("PATCH", f"/llm_jobs/{finished}", '{"status": "processing"}'),
        "unknown id": send("GET", "/llm_jobs/no-such-job", None),
        "2 MB": send("POST", "/llm_jobs", large),
        "depth bomb": send("POST", "/llm_jobs", DEEP),
    }


@pytest.mark.parametrize(
    ("request_name", "status", "code", "words"),
    [
        ("unknown type", 422, "unknown_job_type", "The job types are: email_extract, followup"),
        ("bad payload", 422, "invalid_input", "see the errors"),
        ("illegal patch", 409, "illegal_transition", "It is final"),
        ("unknown id", 404, "not_found", "no such job"),
        ("2 MB", 413, "too_large", "1 MB"),
        ("depth bomb", 400, "bad_request", "64"),
    ],
)
def test_a_wrong_request_is_answered_with_a_problem(answers, request_name, status, code, words):
    answer = answers[request_name]

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert words in problem["detail"]
    assert "Traceback" not in answer.text


def test_the_problem_names_the_field_and_the_legal_states(answers):
    assert answers["bad payload"].json()["errors"] == [
        {"loc": "payload.message", "msg": "Field required"}
    ]
    assert answers["illegal patch"].json()["legal"] == []
