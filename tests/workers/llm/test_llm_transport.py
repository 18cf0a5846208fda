"""One exchange: sent or not sent, kept connections, redirects, the cap on the body."""

import gzip
import socket
import struct
import time
from typing import Any

import pytest
from werkzeug import Response

from workers.llm import InvalidAnswer, LLMRejected, LLMTimeout, LLMUnavailable


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://127.0.0.1:{closed_port()}/v1", "connection refused"),
        ("http://llm.invalid/v1", "not reached"),
        ("", "LLM_BASE_URL"),
        ("http://[nonsense/v1", "LLM_BASE_URL"),
        ("http://127.0.0.1:99999/v1", "LLM_BASE_URL"),
    ],
    ids=["refused", "unknown host", "empty", "nonsense", "no such port"],
)
def test_what_was_never_sent_is_unavailable(
    make_client: Any, make_ask: Any, url: str, says: str
) -> None:
    with pytest.raises(LLMUnavailable, match=says) as caught:
        make_client(url).complete(make_ask())
    assert caught.value.calls == 0
    assert caught.value.__cause__ is None


def test_a_server_without_tls_is_unavailable(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    server = raw_llm(lambda connection: connection.sendall(b"hello, I speak no TLS\r\n"))
    with pytest.raises(LLMUnavailable, match="TLS") as caught:
        make_client(server.url.replace("http:", "https:")).complete(make_ask())
    assert caught.value.calls == 0


def test_a_tls_handshake_that_stalls_is_unavailable_at_the_deadline(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    server = raw_llm(wire.stall)
    start = time.monotonic()
    with pytest.raises(LLMUnavailable):
        make_client(server.url.replace("http:", "https:"), timeout_s=0.5).complete(make_ask())
    assert time.monotonic() - start < 1.2


def test_a_key_that_no_header_can_carry_is_named_and_not_shown(
    llm: Any, make_client: Any, make_ask: Any
) -> None:
    with pytest.raises(LLMUnavailable, match="LLM_API_KEY") as caught:
        make_client(llm.url, api_key="sk-canary\nsecond").complete(make_ask())
    assert "canary" not in str(caught.value)


def cut_length(connection: socket.socket, wire: Any) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")


def cut_chunk(connection: socket.socket, wire: Any) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")


def cut_without_length(connection: socket.socket, wire: Any) -> None:
    body = wire.ok().partition(b"\r\n\r\n")[2]
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body[:-20])


def no_answer(connection: socket.socket, wire: Any) -> None:
    pass


def no_http(connection: socket.socket, wire: Any) -> None:
    connection.sendall(b"-ERR unknown command\r\n" * 3)


def bad_chunk(connection: socket.socket, wire: Any) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    )


def reset_in_body(connection: socket.socket, wire: Any) -> None:
    cut_length(connection, wire)
    reset(connection)


@pytest.mark.parametrize(
    "end",
    [
        cut_length,
        cut_chunk,
        cut_without_length,
        no_answer,
        no_http,
        bad_chunk,
        reset,
        reset_in_body,
    ],
)
def test_a_connection_that_breaks_after_sending_is_a_time_out_and_not_tried_again(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, end: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        end(connection) if end is reset else end(connection, wire)

    server = raw_llm(serve)
    with pytest.raises(LLMTimeout) as caught:
        make_client(server.url).complete(make_ask())
    assert (caught.value.calls, server.connections) == (1, 1)


def test_a_body_that_ends_with_its_connection_is_whole_when_it_is_json(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + wire.ok().partition(b"\r\n\r\n")[2])

    completion = make_client(raw_llm(serve).url).complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "/elsewhere"),
        (302, "https://example.com/login"),
        (307, "/v1/chat/completions"),
        (303, ""),
    ],
)
def test_no_redirect_is_followed(
    llm: Any, client: Any, make_ask: Any, status: int, location: str
) -> None:
    llm.replies(llm.error(status, "moved", {"Location": location} if location else {}))
    with pytest.raises(LLMRejected) as caught:
        client.complete(make_ask())
    assert (caught.value.status, len(llm.requests)) == (status, 1)


def test_a_redirect_to_nonsense_with_an_endless_body_is_no_trap(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    """requests itself would read the body to its end, and stumble over the location."""

    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        head = b"HTTP/1.1 302 Found\r\nLocation: http://[\xff\r\nContent-Length: 900000000\r\n\r\n"
        connection.sendall(head)
        while True:
            connection.sendall(b"x" * 1_000_000)

    with pytest.raises(LLMRejected, match="302"):
        make_client(raw_llm(serve).url).complete(make_ask())


def test_headers_that_are_cut_leave_no_answer(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")

    with pytest.raises(InvalidAnswer, match="empty"):
        make_client(raw_llm(serve).url).complete(make_ask())


@pytest.mark.parametrize("framing", ["length", "chunked", "gzip"])
def test_a_body_over_ten_megabytes_is_not_read(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, framing: str
) -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        wire.read(connection)
        block = b" " * 1_000_000
        if framing == "gzip":
            bomb = gzip.compress(b" " * 50_000_000, 1)
            head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + bomb)
            return
        length = b"Content-Length: 900000000" if framing == "length" else b"X: y"
        chunked = b"Transfer-Encoding: chunked" if framing == "chunked" else b"X: y"
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + chunked + b"\r\n\r\n")
        for _ in range(900):
            piece = b"%x\r\n%b\r\n" % (len(block), block) if framing == "chunked" else block
            connection.sendall(piece)
            sent += len(block)

    with pytest.raises(InvalidAnswer, match="10 MB"):
        make_client(raw_llm(serve).url, timeout_s=15).complete(make_ask())
    assert sent < 60_000_000


def test_an_endless_error_is_read_in_its_beginning(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 900000000\r\n\r\nno such thing ")
        while True:
            connection.sendall(b"x" * 1_000_000)

    with pytest.raises(LLMRejected, match="no such thing"):
        make_client(raw_llm(serve).url).complete(make_ask())


def test_a_204_is_no_answer(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(Response("", status=204))
    with pytest.raises(InvalidAnswer):
        client.complete(make_ask())
