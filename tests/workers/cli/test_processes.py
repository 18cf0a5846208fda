"""``serve``, ``worker``, ``maintenance`` and ``migrate``: what they start, and when they refuse."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from app.job_types.registry import all_job_types
from queues.embedded import free_port


class _ReplacedError(Exception):
    pass


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have replaced this process: the command and its environment."""
    calls: list[Any] = []

    def execve(path: str, command: list[str], environment: dict[str, str]) -> None:
        assert path == command[0] == sys.executable
        calls.append((command[1:], environment))
        raise _ReplacedError

    monkeypatch.setattr(os, "execve", execve)
    return calls


@pytest.fixture
def _llm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:1/v1")


@pytest.mark.usefixtures("_llm")
def test_worker_is_plain_rq_worker_on_all_queues(run, executed: list[Any]) -> None:
    with pytest.raises(_ReplacedError):
        run("worker")
    [(command, environment)] = executed
    queues = [job_type.queue for job_type in all_job_types().values()]
    assert command == ["-m", "rq.cli", "worker", *queues]
    assert environment["RQ_CONFIG"] == "workers.rq_settings"
    assert environment["RQ_WORKER_CLASS"] == "workers.worker.LLMWorker"


@pytest.mark.usefixtures("_llm")
def test_several_workers_are_a_pool(run, executed: list[Any]) -> None:
    with pytest.raises(_ReplacedError):
        run("worker", "llm_intent-high", "-n", 3, "--burst")
    [(command, _)] = executed
    assert command[1:] == ["rq.cli", "worker-pool", "llm_intent-high", "--num-workers=3", "--burst"]


@pytest.mark.usefixtures("_llm")
def test_a_queue_that_no_job_type_has_is_refused(run, executed: list[Any]) -> None:
    result = run("worker", "llm_intent", "llm_intnet")
    assert result.exit_code == 2
    assert "no such queue: llm_intnet. There are: " in result.output
    assert executed == []


def test_serve_is_gunicorn_with_threads(
    run, executed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("WEB_WORKERS", "3")
    with pytest.raises(_ReplacedError):
        run("serve", "--host", "::1", "--port", 9001)
    [(command, environment)] = executed
    assert command[:2] == ["-m", "gunicorn"]
    assert {"--bind=[::1]:9001", "--workers=3", "--threads=8", "--worker-class=gthread"} <= set(
        command
    )
    assert (environment["HOST"], environment["PORT"]) == ("::1", "9001")


def test_serve_without_an_llm_says_what_to_set(run, executed: list[Any]) -> None:
    result = run("serve")
    assert result.exit_code == 2
    assert "LLM_BASE_URL is not set" in result.output
    assert "--stand-in" in result.output
    assert executed == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_serve_refuses_to_be_open_to_all(
    run, executed: list[Any], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:1/v1")
    result = run("serve", "--host", host)
    assert result.exit_code == 2
    assert "ALLOW_NO_KEYS=1" in result.output
    assert executed == []
    monkeypatch.setenv("ALLOW_NO_KEYS", "1")
    with pytest.raises(_ReplacedError):
        run("serve", "--host", host)


def test_serve_with_a_stand_in_serves_both_and_leaves_nothing(sqlite_url: str) -> None:
    port = free_port() - 1
    command = [sys.executable, "-c", "from workers.cli import main; main()"]
    server = subprocess.Popen(
        [*command, "serve", "--stand-in", "--port", str(port)],
        env={**os.environ, "DATABASE_URL": sqlite_url, "WEB_WORKERS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"export LLM_BASE_URL=http://127.0.0.1:{port + 1}/v1" in server.stderr.readline()
        assert requests.get(f"http://127.0.0.1:{port + 1}/v1/models", timeout=10).ok
        _wait_until(lambda: _answers(f"http://127.0.0.1:{port}/health/ready"))
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0
    _wait_until(lambda: not _answers(f"http://127.0.0.1:{port + 1}/v1/models"))


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def _wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_serve_does_not_start_when_the_stand_in_cannot(run, executed: list[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--stand-in", "--port", port - 1)
    assert result.exit_code == 1
    assert f"the stand-in did not start on port {port}" in result.output
    assert executed == []


def test_maintenance_runs_the_relay(run, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr("workers.maintenance.main", lambda: runs.append(1))
    assert run("maintenance").exit_code == 0
    assert runs == [1]


def test_migrate_tells_where_the_schema_went(run, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    assert run("migrate").output.startswith("The schema went from nothing to ")
    assert run("migrate").output.startswith("The schema is up to date: ")


def test_migrate_without_a_database_ends_with_3(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    result = run("migrate")
    assert result.exit_code == 3
    assert "Is DATABASE_URL right?" in result.output
    assert "secret" not in result.output


def test_worker_without_an_llm_says_what_to_set(run, executed: list[Any]) -> None:
    result = run("worker")
    assert result.exit_code == 2
    assert "LLM_BASE_URL is not set" in result.output
    assert executed == []


@pytest.mark.parametrize(("arguments", "workers"), [([], 1), (["-n", "2"], 2)])
def test_the_worker_command_really_starts_workers(
    redis_url: str, sqlite_url: str, arguments: list[str], workers: int
) -> None:
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "DATABASE_URL": sqlite_url,
        "LLM_BASE_URL": "http://127.0.0.1:1/v1",
    }
    command = [sys.executable, "-c", "from workers.cli import main; main()", "worker", "--burst"]
    done = subprocess.run(
        [*command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Listening on llm_") == workers
    assert "Traceback" not in done.stdout
