"""Runs a command in this process, against a real HTTP server on loopback."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pytest_httpserver import HTTPServer

from workers.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """``run("list", "--limit", 5)``; an exception that no user should see fails the test."""

    def invoke(*arguments: object, stdin: str | None = None) -> Result:
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(main, words, input=stdin, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def api(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A server where the commands look for the API."""
    monkeypatch.setenv("LLM_JOBS_URL", httpserver.url_for("").rstrip("/"))
    return httpserver


@pytest.fixture
def make_job() -> Callable[..., dict[str, Any]]:
    """A job as the API shows it."""

    def make(**fields: Any) -> dict[str, Any]:
        job = {
            "id": "job-1",
            "job_type": "followup",
            "status": "completed",
            "priority": "normal",
            "payload": {"message": "hello"},
            "result": {"question": "When?"},
            "attempts": 1,
            "failures": 0,
            "max_attempts": 5,
            "error_message": None,
            "created_at": "2030-01-01T00:00:00Z",
        }
        return job | fields

    return make
