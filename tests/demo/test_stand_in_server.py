"""The stand-in as a server: its routes, its misbehaviour, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from demo.stand_in_llm import StandIn, main


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def chat(stand_in: StandIn, http: requests.Session, text: str = "hi", **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": text}], **more}
    return http.post(f"{stand_in.url}/chat/completions", json=body, timeout=10)


def root(stand_in: StandIn) -> str:
    return stand_in.url.removesuffix("/v1")


def test_it_answers_as_openai_does(stand_in: StandIn, http: requests.Session) -> None:
    answer = chat(stand_in, http, "<message>\nThe boat trip\n</message>").json()
    assert answer["model"] == "stand-in"
    assert answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "When does “boat trip” have to happen?"
    usage = answer["usage"]
    assert usage["prompt_tokens"] == 5
    assert usage["completion_tokens"] == 7
    assert usage["total_tokens"] == 12


def test_it_lists_its_model_and_is_well(stand_in: StandIn, http: requests.Session) -> None:
    models = http.get(f"{stand_in.url}/models", timeout=5).json()
    assert [model["id"] for model in models["data"]] == ["stand-in"]
    assert http.get(f"{root(stand_in)}/health", timeout=5).json() == {"status": "ok"}


def test_it_keeps_connections(stand_in: StandIn, http: requests.Session) -> None:
    response = chat(stand_in, http)
    assert response.raw.version == 11
    assert response.headers.get("Connection") != "close"


@pytest.mark.parametrize("parameter", ["max_tokens", "max_completion_tokens"])
def test_an_answer_over_the_token_limit_is_cut(
    stand_in: StandIn, http: requests.Session, parameter: str
) -> None:
    choice = chat(stand_in, http, "the long story", **{parameter: 3}).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"].split()) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "messages"),
        ({}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": []}, "no user message"),
        ({"messages": [{"role": "user", "content": 7}]}, "no user message"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "no schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}}, "no schema"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"properties": 7}},
                }
            },
            "makes no sense",
        ),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_words(
    stand_in: StandIn, http: requests.Session, body: Any, says: str
) -> None:
    if isinstance(body, dict) and "messages" not in body and body:
        body = {"messages": [{"role": "user", "content": "hi"}], **body}
    response = http.post(f"{stand_in.url}/chat/completions", json=body, timeout=5)
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(
    stand_in: StandIn, http: requests.Session, body: bytes
) -> None:
    response = http.post(f"{stand_in.url}/chat/completions", data=body, timeout=5)
    assert response.status_code in (400, 411)
    assert "error" in response.json()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /v1/chat/completions HTTP/1.1\r\nHost: x", "411"),
        ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1", "411"),
        ("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999", "413"),
        ("PUT /v1/models HTTP/1.1\r\nHost: x", "501"),
    ],
)
def test_a_body_of_unknown_or_excessive_length_is_not_read(
    stand_in: StandIn, head: str, status: str
) -> None:
    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=5) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(1000).decode().split()[1] == status


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_404(stand_in: StandIn, http: requests.Session, method: str) -> None:
    response = http.request(method, f"{root(stand_in)}/nothing", json={}, timeout=5)
    assert response.status_code == 404


def test_calls_are_counted_with_what_they_asked(stand_in: StandIn, http: requests.Session) -> None:
    chat(stand_in, http, "<message>\nfirst\n</message>")
    chat(stand_in, http, "<query>\n" + "x" * 999 + "\n</query>")
    listed = http.get(f"{root(stand_in)}/_control/calls", timeout=5).json()
    assert listed["count"] == 2
    assert [call["job_type"] for call in listed["calls"]] == ["followup", "intent_classify"]
    assert [len(call["user"]) for call in listed["calls"]] == [26, 200]
    assert len(listed["calls"][0]["user_sha256"]) == 64
    assert listed["calls"] == stand_in.calls
    emptied = http.delete(f"{root(stand_in)}/_control/calls", timeout=5).json()
    assert emptied == {"count": 0, "calls": []}


def test_stopping_ends_what_hangs_and_every_connection() -> None:
    stand_in = StandIn().start()
    stand_in.misbehave("hang")
    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=5) as connection:
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 5
        while not stand_in.calls and time.monotonic() < deadline:
            time.sleep(0.01)
        start = time.monotonic()
        stand_in.stop()
        assert connection.recv(100) == b""
        assert time.monotonic() - start < 2
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", stand_in.port), timeout=1)


def start_process(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo.stand_in_llm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_program_it_says_where_it_is_and_ends_cleanly(number: int) -> None:
    process = start_process("--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.rsplit(" ", 1)[1].strip()
    assert url.startswith("http://127.0.0.1:")
    with requests.Session() as kept:
        assert kept.get(f"{url}/models", timeout=5).status_code == 200
        gone = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1][:-3])), timeout=5)
        gone.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        gone.close()
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_client_that_goes_away_leaves_no_traceback(
    stand_in: StandIn, http: requests.Session, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.misbehave("latency", seconds=0.5)
    body = b'{"messages": [{"role": "user", "content": "hi"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", stand_in.port), timeout=5) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(head + body)
    stand_in.misbehave("none")
    assert chat(stand_in, http).status_code == 200
    stand_in.stop()
    assert capfd.readouterr().err == ""


def test_a_taken_port_is_told_in_words(
    stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", str(stand_in.port)]) == 1
    told = capsys.readouterr().err
    assert f"127.0.0.1:{stand_in.port}" in told
    assert "in use" in told


def test_a_missing_dateparser_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "dateparser", None)
    assert main(["--port", "0"]) == 1
    assert "pip install dateparser" in capsys.readouterr().err


def test_dateparser_is_not_needed_until_a_date_is_looked_for() -> None:
    code = (
        "import sys, demo.stand_in_llm, workers.llm;"
        "assert 'dateparser' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
