"""The API behind gunicorn, over real sockets."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from app import wsgi
from queues.embedded import free_port

ROOT = Path(__file__).parents[3]
JOB = {"job_type": "followup", "payload": {"message": "hi"}}
JSON = {"Content-Type": "application/json"}


def gunicorn(bind: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
            *("--bind", bind, "--threads", "8", "app.wsgi:create()"),
        ],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(output: list[str] | None = None, /, **environment: str) -> Iterator[int]:
    """A server's port; what it wrote to standard output is added to ``output`` at the end."""
    port = free_port()
    server = gunicorn(f"127.0.0.1:{port}", **environment)
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            assert server.poll() is None, server.stderr and server.stderr.read()
            assert time.monotonic() < deadline, "the server did not answer in 30 s"
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        (output if output is not None else []).append(server.communicate(timeout=30)[0])


def answers(port: int) -> bool:
    try:
        return call(port, "GET", "/health/live")[0] == 200
    except OSError:
        return False


def call(port: int, method: str, address: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    data = None if body is None else json.dumps(body)
    connection.request(method, address, data, JSON if data else {})
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    return response.status, document


@pytest.fixture
def port(sqlite_url: str, redis_url: str) -> Iterator[int]:
    with serving(DATABASE_URL=sqlite_url, REDIS_URL=redis_url) as port:
        yield port


def post_chunked(
    port: int, address: str, pieces: Callable[[], Iterator[bytes]], media_type: str
) -> tuple[int, Any]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            f"POST {address} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: {media_type}\r\n\r\n".encode()
        )
        for piece in pieces():
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        response = HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


def test_a_body_over_1_mb_is_413_with_and_without_a_length(port: int) -> None:
    large = JOB | {"metadata": {"text": "x" * 2_000_000}}
    status, problem = call(port, "POST", "/llm_jobs", large)
    assert (status, problem["code"]) == (413, "too_large")
    text = json.dumps(large).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(text), 50_000):
            yield text[start : start + 50_000]

    status, problem = post_chunked(port, "/llm_jobs", pieces, "application/json")
    assert (status, problem["code"]) == (413, "too_large")
    assert call(port, "GET", "/llm_jobs") == (200, [])


def test_a_chunked_batch_is_read_as_it_arrives_and_ends_at_64_mb(port: int) -> None:
    entry = json.dumps(JOB | {"metadata": {"text": "x" * 200_000}}).encode() + b"\n"

    def pieces(count: int) -> Callable[[], Iterator[bytes]]:
        return lambda: (entry for _ in range(count))

    status, answer = post_chunked(port, "/llm_jobs/batch", pieces(20), "application/x-ndjson")
    assert (status, answer["accepted"], answer["errors"]) == (201, 20, [])
    status, problem = post_chunked(port, "/llm_jobs/batch", pieces(340), "application/x-ndjson")
    assert (status, problem["code"]) == (413, "too_large")
    assert len(call(port, "GET", "/llm_jobs?limit=200")[1]) == 20


def test_a_waiting_client_is_answered_when_another_one_ends_the_job(port: int) -> None:
    job_id = call(port, "POST", "/llm_jobs", JOB)[1]["id"]
    timer = threading.Timer(0.5, lambda: call(port, "POST", f"/llm_jobs/{job_id}/cancel"))
    timer.start()
    began = time.monotonic()
    job = call(port, "GET", f"/llm_jobs/{job_id}?wait=25")[1]
    timer.join()
    assert job["status"] == "cancelled"
    assert time.monotonic() - began < 15


def test_what_goes_wrong_is_logged_as_json_on_standard_output(sqlite_url: str) -> None:
    environment = {"DATABASE_URL": sqlite_url, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    output: list[str] = []
    with serving(output, **environment) as port:
        assert call(port, "POST", "/llm_jobs", JOB)[0] == 201
    records = [json.loads(line) for line in output[0].splitlines()]
    assert [record["level"] for record in records if "redis" in record["message"]] == ["warning"]


def test_a_socket_open_to_other_machines_is_refused_at_start(sqlite_url: str) -> None:
    server = gunicorn(f"0.0.0.0:{free_port()}", DATABASE_URL=sqlite_url)
    _, errors = server.communicate(timeout=60)
    assert server.returncode != 0
    assert "Refusing to listen on 0.0.0.0" in errors
    assert "ALLOW_NO_KEYS=1" in errors
    assert "Traceback" not in errors


@pytest.fixture
def _kept_logging() -> Iterator[None]:
    """Making the application sends all logs to standard output; tests keep theirs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_wrong_environment_ends_the_start_with_every_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://x")
    monkeypatch.setenv("REDIS_PORT", "many")
    with pytest.raises(SystemExit) as ended:
        wsgi.create()
    assert ended.value.code == 4, "gunicorn starts a worker again after any other code"
    errors = capsys.readouterr().err
    assert "DATABASE_URL" in errors
    assert "REDIS_PORT" in errors


@pytest.mark.usefixtures("_kept_logging")
def test_the_application_is_made_while_nothing_it_needs_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://x:y@127.0.0.1:{free_port()}/z")
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    app = wsgi.create()
    assert app.test_client().get("/health/live").status_code == 200
