"""The total deadline: whatever the server does, the client is done in time."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from rq.timeouts import JobTimeoutException

from app.jobs.ask import Image
from workers.llm import LLMError, LLMTimeout, LLMUnavailable

TIMEOUT_S = 0.6
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def takes_at_most(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def trickle(connection: socket.socket, data: bytes, pause_s: float = 0.05) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(pause_s)


SERVERS: dict[str, Callable[[socket.socket, Any], None]] = {
    "never answers": lambda c, wire: wire.stall(c),
    "trickles its status line": lambda c, _: trickle(c, b"HTTP/1.1 200 " + b"O" * 1000),
    "trickles its headers": lambda c, _: trickle(c, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000),
    "continues for ever": lambda c, _: trickle(c, b"HTTP/1.1 100 Continue\r\n\r\n" * 99, 0.01),
    "trickles its body": lambda c, _: (c.sendall(HEAD), trickle(c, b" " * 1000))[0],
    "stalls in its body": lambda c, wire: (c.sendall(HEAD + b"{"), wire.stall(c))[0],
    "trickles chunks": lambda c, _: (
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        trickle(c, b"1\r\n \r\n" * 1000),
    )[0],
    "trickles a body without length": lambda c, _: (
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n"),
        trickle(c, b" " * 1000),
    )[0],
}


@pytest.mark.parametrize("manner", SERVERS)
def test_a_server_that_is_too_slow_is_left_at_the_deadline(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, manner: str
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        SERVERS[manner](connection, wire)

    client = make_client(raw_llm(serve).url, timeout_s=TIMEOUT_S)
    with takes_at_most(TIMEOUT_S + 0.5), pytest.raises(LLMTimeout) as caught:
        client.complete(make_ask())
    assert caught.value.calls == 1
    assert "before the deadline" in caught.value.message


def test_a_caller_may_set_an_earlier_deadline(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    client = make_client(raw_llm(wire.stall).url, timeout_s=30)
    with takes_at_most(1.5), pytest.raises(LLMTimeout):
        client.complete(make_ask(), deadline=time.monotonic() + 0.4)


def test_a_later_deadline_of_the_caller_does_not_extend_the_clients(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    client = make_client(raw_llm(wire.stall).url, timeout_s=0.4)
    with takes_at_most(1.5), pytest.raises(LLMTimeout):
        client.complete(make_ask(), deadline=time.monotonic() + 60)


def test_an_image_has_the_vision_time_out(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    client = make_client(raw_llm(wire.stall).url, timeout_s=30, vision_timeout_s=0.4)
    with takes_at_most(1.5), pytest.raises(LLMTimeout):
        client.complete(make_ask(image=Image("image/png", b"x")))


def test_a_server_that_does_not_read_is_left_at_the_deadline(
    raw_llm: Any, make_client: Any, make_ask: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.stopping.wait(10)

    server = raw_llm(serve)
    client = make_client(server.url, vision_timeout_s=2)
    with takes_at_most(3), pytest.raises(LLMTimeout) as caught:
        client.complete(make_ask(image=Image("image/png", b"x" * 8_000_000)))
    assert caught.value.calls == 1


def test_the_deadline_covers_the_re_ask_too(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(wire.ok("no JSON"))
        wire.read(connection)
        wire.stall(connection)

    client = make_client(raw_llm(serve).url, timeout_s=1.5)
    with takes_at_most(2.5), pytest.raises(LLMTimeout) as caught:
        client.complete(make_ask())
    assert caught.value.calls == 2
    assert caught.value.text == "no JSON"


def test_there_is_no_re_ask_when_too_little_time_is_left(
    llm: Any, make_client: Any, make_ask: Any
) -> None:
    llm.says("no JSON")
    with pytest.raises(LLMError) as caught:
        make_client(llm.url, timeout_s=0.9).complete(make_ask())
    assert (caught.value.code, len(llm.requests)) == ("invalid_answer", 1)


def test_a_slow_error_is_still_that_error(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\n")
        wire.stall(connection)

    client = make_client(raw_llm(serve).url, timeout_s=TIMEOUT_S)
    with pytest.raises(LLMUnavailable, match="503"):
        client.complete(make_ask())


class Alarm:
    """RQ's job time-out: an exception raised from SIGALRM."""

    def __init__(self) -> None:
        self.previous = signal.signal(signal.SIGALRM, self.ring)

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        raise JobTimeoutException("the job took too long")


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    rung = Alarm()
    yield rung
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, rung.previous)


@pytest.mark.parametrize("manner", ["never answers", "trickles its headers", "trickles its body"])
def test_the_job_time_out_passes_through_untouched_and_the_client_stays_usable(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, alarm: Alarm, manner: str
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        if server.connections == 1:
            SERVERS[manner](connection, wire)
        connection.sendall(wire.ok())

    server = raw_llm(serve)
    client = make_client(server.url, timeout_s=20)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with takes_at_most(2), pytest.raises(JobTimeoutException):
        client.complete(make_ask())
    assert client.complete(make_ask()).model == "raw-1"


def test_the_client_leaves_the_alarm_alone(
    llm: Any, client: Any, make_ask: Any, alarm: Alarm
) -> None:
    llm.says('{"label": "x", "confidence": 1}')
    signal.setitimer(signal.ITIMER_REAL, 30)
    client.complete(make_ask())
    remaining_s, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 25 < remaining_s <= 30
    assert signal.getsignal(signal.SIGALRM) == alarm.ring
