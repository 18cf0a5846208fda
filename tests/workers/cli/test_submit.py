"""``llm-jobs submit``."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response


def _bodies(api: HTTPServer) -> list[dict]:
    return [request.get_json() for request, _ in api.log]


def test_words_become_a_job(run, api: HTTPServer, make_job) -> None:
    api.expect_request("/llm_jobs", method="POST").respond_with_json(
        make_job(status="queued", result=None), status=201
    )
    result = run(
        "submit", "followup", "message=call mum", "n=3", "--user-id", 7, "--priority", "high",
        "--max-attempts", 2, "--idempotency-key", "k1",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "job-1" in result.output
    assert "queued" in result.output
    [(request, _)] = api.log
    assert request.headers["Idempotency-Key"] == "k1"
    assert request.get_json() == {
        "job_type": "followup",
        "payload": {"message": "call mum", "n": 3},
        "user_id": 7,
        "priority": "high",
        "max_attempts": 2,
    }


def test_a_time_without_an_offset_is_this_machines(run, api: HTTPServer, make_job) -> None:
    api.expect_request("/llm_jobs").respond_with_json(make_job(), status=201)
    run("submit", "followup", "--run-at", "2030-01-31T09:00")
    run("submit", "followup", "--run-at", "2030-01-31T09:00:00Z")
    local, utc = (datetime.fromisoformat(body["run_at"]) for body in _bodies(api))
    assert local == datetime(2030, 1, 31, 9).astimezone()
    assert utc.isoformat() == "2030-01-31T09:00:00+00:00"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["followup", "--file", "-"],
        ["followup", "--run-at", "tomorrow"],
        ["followup", "--priority", "urgent"],
        ["followup", "message"],
        ["--file", "-", "--idempotency-key", "k"],
        ["--file", "/no/such/file"],
    ],
)
def test_wrong_usage_submits_nothing(run, api: HTTPServer, arguments: list[str]) -> None:
    assert run("submit", *arguments).exit_code == 2
    assert api.log == []


def test_waiting_shows_the_result(run, api: HTTPServer, make_job) -> None:
    api.expect_request("/llm_jobs", method="POST").respond_with_json(
        make_job(status="queued", result=None), status=201
    )
    answers = [make_job(status="processing", result=None), make_job()]
    api.expect_request("/llm_jobs/job-1").respond_with_handler(
        lambda _: Response(json.dumps(answers.pop(0)), mimetype="application/json")
    )
    result = run("submit", "followup", "message=hi", "--wait")
    assert result.exit_code == 0
    assert '{"question": "When?"}' in result.stdout
    assert "followup completed" in result.stderr
    assert answers == []


def test_waiting_for_a_job_that_fails_ends_with_1(run, api: HTTPServer, make_job) -> None:
    failed = make_job(status="failed", result=None, error_message="no JSON in the answer")
    api.expect_request("/llm_jobs", method="POST").respond_with_json(failed, status=201)
    api.expect_request("/llm_jobs/job-1").respond_with_json(failed)
    result = run("submit", "followup", "--wait", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error_message"] == "no JSON in the answer"
    assert "job-1 is failed" in result.stderr


def test_waiting_ends_at_the_time_out(run, api: HTTPServer, make_job) -> None:
    queued = make_job(status="queued", result=None)
    api.expect_request("/llm_jobs", method="POST").respond_with_json(queued, status=201)
    api.expect_request("/llm_jobs/job-1").respond_with_json(queued)
    result = run("submit", "followup", "--wait", "--timeout", "0.2")
    assert result.exit_code == 1
    assert "job-1 is queued" in result.stderr


def _accept_all(api: HTTPServer) -> None:
    def answer(request: Request) -> Response:
        lines = request.get_data(as_text=True).splitlines()
        errors = [
            {"index": index, "code": "unknown_job_type", "detail": "no such type"}
            for index, line in enumerate(lines)
            if json.loads(line)["job_type"] == "bad"
        ]
        ids = [f"id-{json.loads(line)['n']}" for line in lines if "bad" not in line]
        body = {"accepted": len(ids), "jobs": ids, "errors": errors}
        return Response(json.dumps(body), status=201, mimetype="application/json")

    api.expect_request("/llm_jobs/batch", method="POST").respond_with_handler(answer)


def test_a_file_goes_in_calls_of_a_thousand(run, api: HTTPServer, tmp_path: Path) -> None:
    _accept_all(api)
    lines = [json.dumps({"job_type": "followup", "n": n}) for n in range(2_500)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    result = run("submit", "--file", tmp_path / "jobs.jsonl", "--user-id", 5)
    assert result.exit_code == 0
    assert "2500 of 2500 jobs accepted" in result.stdout
    sizes = [len(request.get_data().splitlines()) for request, _ in api.log]
    assert sizes == [1000, 1000, 500]
    request, _ = api.log[0]
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert json.loads(request.get_data().splitlines()[0])["user_id"] == 5


def test_refused_jobs_of_a_file_are_told_by_line(run, api: HTTPServer) -> None:
    _accept_all(api)
    lines = '{"job_type": "followup", "n": 1}\n\n{"job_type": "bad", "n": 2}\n'
    result = run("submit", "--file", "-", stdin=lines)
    assert result.exit_code == 1
    assert "line 3: no such type (unknown_job_type)" in result.stderr
    assert "1 of 2 jobs were refused" in result.stderr


def test_a_file_with_a_broken_line_submits_nothing(run, api: HTTPServer) -> None:
    result = run("submit", "--file", "-", stdin='{"job_type": "followup"}\n{"job')
    assert result.exit_code == 2
    assert "line 2 is not JSON" in result.stderr
    assert api.log == []


def test_a_file_can_be_waited_for(run, api: HTTPServer, make_job) -> None:
    _accept_all(api)
    for number in (1, 2):
        api.expect_request(f"/llm_jobs/id-{number}").respond_with_json(make_job(id=f"id-{number}"))
    lines = '{"job_type": "followup", "n": 1}\n{"job_type": "followup", "n": 2}\n'
    result = run("submit", "--file", "-", "--wait", stdin=lines)
    assert result.exit_code == 0
    assert "id-2" in result.stdout
    as_json = run("submit", "--file", "-", "--wait", "--json", stdin=lines)
    assert [job["id"] for job in json.loads(as_json.stdout)["jobs"]] == ["id-1", "id-2"]
