"""How the commands tell what the API, or the lack of one, means."""

import json

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from queues.embedded import free_port


def test_without_a_server_the_exit_code_is_3_and_the_sentence_says_what_to_do(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    result = run("list")
    assert result.exit_code == 3
    assert "does not answer (ConnectionError)" in result.output
    assert "llm-jobs serve" in result.output


def test_a_problem_is_told_with_each_wrong_field(run, api: HTTPServer) -> None:
    problem = {
        "detail": "query: field required (and 1 more)",
        "errors": [
            {"loc": ["payload", "query"], "msg": "field required"},
            {"loc": ["user_id"], "msg": "must be an integer"},
        ],
    }
    api.expect_request("/llm_jobs", method="POST").respond_with_json(
        problem, status=422, content_type="application/problem+json"
    )
    result = run("submit", "intent_classify")
    assert result.exit_code == 1
    assert "query: field required (and 1 more)" in result.output
    assert "payload.query: field required" in result.output
    assert "user_id: must be an integer" in result.output


def test_one_wrong_field_is_told_once(run, api: HTTPServer) -> None:
    problem = {
        "detail": "payload.query: too long",
        "errors": [{"loc": ["payload", "query"], "msg": "too long"}],
    }
    api.expect_request("/llm_jobs").respond_with_json(problem, status=422)
    assert run("submit", "intent_classify").output.count("too long") == 1


@pytest.mark.parametrize("loc", ["payload.query", ["payload", "query"]])
def test_a_field_that_the_detail_does_not_name_is_told(run, api: HTTPServer, loc: object) -> None:
    problem = {"detail": "See the errors.", "errors": [{"loc": loc, "msg": "too long"}]}
    api.expect_request("/llm_jobs").respond_with_json(problem, status=422)
    output = run("submit", "intent_classify").output
    assert output == "Error: See the errors.\n  payload.query: too long\n"


@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", "[]", ""])
def test_an_answer_that_is_no_problem_is_told_by_its_status(
    run, api: HTTPServer, body: str
) -> None:
    api.expect_request("/llm_jobs").respond_with_data(body, status=502)
    result = run("list")
    assert result.exit_code == 1
    assert "HTTP 502" in result.output


def test_a_server_that_is_something_else_is_recognised(run, api: HTTPServer) -> None:
    api.expect_request("/llm_jobs").respond_with_data("<h1>It works!</h1>")
    result = run("list")
    assert result.exit_code == 3
    assert "it is not llm-jobs" in result.output


def test_an_escape_sequence_in_an_answer_does_not_reach_the_terminal(run, api: HTTPServer) -> None:
    api.expect_request("/llm_jobs").respond_with_json({"detail": "\x1b[2Jgone"}, status=409)
    assert "\x1b" not in run("list").output


def test_the_url_option_wins_over_the_environment(
    run, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_JOBS_URL", f"http://127.0.0.1:{free_port()}")
    httpserver.expect_request("/llm_jobs").respond_with_json([])
    assert run("list", "--url", httpserver.url_for("/")).exit_code == 0


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    run, api: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    api.expect_request("/llm_jobs").respond_with_json([])
    assert run("list").exit_code == 0


def test_lists_are_read_page_by_page(run, api: HTTPServer, make_job) -> None:
    def answer(request: Request) -> Response:
        cursor = int(request.args.get("cursor", 0))
        jobs = [make_job(id=f"job-{cursor + i}") for i in range(2)]
        response = Response(json.dumps(jobs), mimetype="application/json")
        response.headers["Link"] = f'</llm_jobs?cursor={cursor + 2}>; rel="next"'
        return response

    api.expect_request("/llm_jobs").respond_with_handler(answer)
    jobs = json.loads(run("list", "--limit", 5, "--json").stdout)
    assert [job["id"] for job in jobs] == [f"job-{i}" for i in range(5)]
    assert len(api.log) == 3
