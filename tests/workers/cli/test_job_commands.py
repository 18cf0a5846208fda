"""``list``, ``show``, ``retry``, ``cancel`` and ``job-types``."""

import json
from collections.abc import Callable
from typing import Any

from pytest_httpserver import HTTPServer

from app.job_types.registry import all_job_types


def test_jobs_are_listed_with_their_last_error(run, api: HTTPServer, make_job) -> None:
    job = make_job(status="failed", error_message="[red]the LLM[/red] \x1b[2Jrefused")
    api.expect_request(
        "/llm_jobs",
        query_string={"status": "failed", "job_type": "followup", "user_id": "3", "limit": "20"},
    ).respond_with_json([job])
    result = run("list", "--status", "failed", "--type", "followup", "--user-id", 3)
    assert result.exit_code == 0
    assert "[red]the LLM[/red] \N{REPLACEMENT CHARACTER}[2Jrefused" in result.stdout


def test_an_empty_list_says_so_beside_the_output(run, api: HTTPServer) -> None:
    api.expect_request("/llm_jobs").respond_with_json([])
    result = run("list")
    assert result.stderr == "No jobs.\n"
    assert json.loads(run("list", "--json").stdout) == []


def _serve_history(api: HTTPServer, job: dict[str, Any]) -> None:
    history = {
        "transitions": [
            {
                "from": None,
                "to": "queued",
                "at": "2030-01-01T00:00:00Z",
                "attempt": 0,
                "actor": "api",
                "reason": None,
            }
        ],
        "attempts": [
            {
                "attempt": 1,
                "worker": "host.7",
                "started_at": "2030-01-01T00:00:01Z",
                "finished_at": None,
                "outcome": None,
                "error_code": None,
                "model": "mistral",
                "usage": None,
            }
        ],
    }
    api.expect_request("/llm_jobs/job-1").respond_with_json(job)
    api.expect_request("/llm_jobs/job-1/history").respond_with_json(history)


def test_a_job_is_shown_with_its_history(run, api: HTTPServer, make_job) -> None:
    _serve_history(api, make_job())
    result = run("show", "job-1")
    assert result.exit_code == 0
    for text in ('{"question": "When?"}', "queued", "host.7", "mistral"):
        assert text in result.stdout
    assert json.loads(run("show", "job-1", "--json").stdout)["history"]["transitions"]


def test_a_job_without_attempts_has_no_such_table(run, api: HTTPServer, make_job) -> None:
    api.expect_request("/llm_jobs/job-1").respond_with_json(make_job(error_message=None))
    api.expect_request("/llm_jobs/job-1/history").respond_with_json(
        {"transitions": [], "attempts": []}
    )
    assert "Attempts" not in run("show", "job-1").stdout


def test_an_id_cannot_leave_its_place_in_the_address(run, api: HTTPServer) -> None:
    api.expect_request("/llm_jobs/../admin").respond_with_json({"detail": "no job"}, status=404)
    run("show", "../admin")
    [(request, _)] = api.log
    assert request.environ["REQUEST_URI"] == "/llm_jobs/..%2Fadmin"


def _expect_verb(
    api: HTTPServer, make_job: Callable[..., dict[str, Any]], verb: str, job_id: str
) -> None:
    api.expect_request(f"/llm_jobs/{job_id}/{verb}", method="POST").respond_with_json(
        make_job(id=job_id, status="queued")
    )


def test_jobs_are_retried_and_what_is_refused_stops_none_of_the_rest(
    run, api: HTTPServer, make_job
) -> None:
    api.expect_request("/llm_jobs/done/retry", method="POST").respond_with_json(
        {"detail": "a completed job stays completed"}, status=409
    )
    _expect_verb(api, make_job, "retry", "job-2")
    result = run("retry", "done", "job-2")
    assert result.exit_code == 1
    assert "done: a completed job stays completed" in result.stderr
    assert "job-2 queued" in result.stderr
    refused = json.loads(run("retry", "done", "job-2", "--json").stdout)["refused"]
    assert [entry["id"] for entry in refused] == ["done"]


def test_all_failed_jobs_of_a_type_are_retried(run, api: HTTPServer, make_job) -> None:
    api.expect_request(
        "/llm_jobs", query_string={"status": "failed", "job_type": "followup", "limit": "100"}
    ).respond_with_json([make_job(id="a"), make_job(id="b")])
    for job_id in ("a", "b"):
        _expect_verb(api, make_job, "retry", job_id)
    result = run("retry", "--failed", "--type", "followup")
    assert result.exit_code == 0
    assert "2/2 b queued" in result.stderr


def test_no_failed_jobs_are_no_error(run, api: HTTPServer) -> None:
    api.expect_request("/llm_jobs").respond_with_json([])
    result = run("retry", "--failed")
    assert (result.exit_code, result.stderr) == (0, "No jobs.\n")


def test_retry_wants_either_ids_or_failed(run, api: HTTPServer) -> None:
    for arguments in ([], ["a", "--failed"], ["a", "--type", "followup"]):
        assert run("retry", *arguments).exit_code == 2
    assert api.log == []


def test_jobs_are_cancelled(run, api: HTTPServer, make_job) -> None:
    _expect_verb(api, make_job, "cancel", "a")
    assert run("cancel", "a").exit_code == 0
    assert run("cancel").exit_code == 2


def test_job_types_are_listed_with_their_payload_fields(run) -> None:
    result = run("job-types")
    assert result.exit_code == 0
    for job_type in all_job_types().values():
        assert job_type.name in result.stdout
        assert job_type.queue in result.stdout
    assert "memory_content*: string" in result.stdout
    assert "memory_id: string" in result.stdout


def test_job_types_give_a_script_their_schemas(run) -> None:
    described = {entry["name"]: entry for entry in json.loads(run("job-types", "--json").stdout)}
    assert described.keys() == all_job_types().keys()
    assert described["image_tag"]["payload"]["required"] == ["memory_id", "image_path"]
    assert described["followup"]["answer"] is None
