"""Connections: kept, dead, forked; proxies, logins and cookies."""

import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workers.llm import LLMClient, LLMTimeout, LLMUnavailable
from workers.llm.settings import LLMSettings


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_connection_is_kept_between_questions(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        while wire.read(connection):
            connection.sendall(wire.ok())

    server = raw_llm(serve)
    client = make_client(server.url)
    for _ in range(5):
        client.complete(make_ask())
    assert server.connections == 1


def test_closing_ends_the_connection_and_leaves_the_client_usable(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        while wire.read(connection):
            connection.sendall(wire.ok())

    server = raw_llm(serve)
    client = make_client(server.url)
    client.complete(make_ask())
    client.close()
    client.complete(make_ask())
    assert server.connections == 2


@pytest.mark.parametrize("manner", ["reset", "close"])
def test_a_kept_connection_that_was_dead_is_replaced_once_at_once(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, manner: str
) -> None:
    """The server ends it on the second request, without a byte of an answer."""

    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(wire.ok())
        if server.connections == 1:
            connection.recv(10)
            reset(connection) if manner == "reset" else connection.close()
        else:
            wire.read(connection)

    server = raw_llm(serve)
    client = make_client(server.url)
    client.complete(make_ask())
    assert client.complete(make_ask()).calls == 1
    assert server.connections == 2


def test_a_kept_connection_that_the_server_has_closed_is_replaced(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(wire.ok())

    server = raw_llm(serve)
    client = make_client(server.url)
    for _ in range(3):
        assert client.complete(make_ask()).calls == 1
    assert server.connections == 3


def test_a_fresh_connection_that_is_dead_too_is_a_time_out(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        if server.connections == 1:
            connection.sendall(wire.ok())
            wire.read(connection)
        reset(connection)

    server = raw_llm(serve)
    client = make_client(server.url)
    client.complete(make_ask())
    with pytest.raises(LLMTimeout):
        client.complete(make_ask())
    assert server.connections == 2


@pytest.mark.parametrize(
    "manner", ["half an answer", "a long time of work"], ids=lambda words: words.replace(" ", "-")
)
def test_a_kept_connection_that_breaks_over_real_work_is_not_asked_again(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, manner: str
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(wire.ok())
        wire.read(connection)
        if manner == "half an answer":
            connection.sendall(b"HTTP/1.1 200")
        else:
            server.stopping.wait(2.2)
        reset(connection)

    server = raw_llm(serve)
    client = make_client(server.url)
    client.complete(make_ask())
    with pytest.raises(LLMTimeout):
        client.complete(make_ask())
    assert server.connections == 1


def test_a_proxy_of_the_environment_is_used_and_the_key_sent_whatever_netrc_says(
    llm: Any, make_client: Any, make_ask: Any, wire: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine llm.example login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", llm.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    llm.says('{"label": "x", "confidence": 1}')
    make_client("http://llm.example/v1").complete(make_ask())
    assert llm.headers[0]["Host"] == "llm.example"
    assert llm.headers[0]["Authorization"] == f"Bearer {wire.key}"


def test_a_server_on_this_machine_is_not_asked_through_a_proxy(
    llm: Any, make_client: Any, make_ask: Any, wire: Any, monkeypatch: Any
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    llm.says('{"label": "x", "confidence": 1}')
    make_client(llm.url.replace("127.0.0.1", "localhost")).complete(make_ask())
    with pytest.raises(LLMUnavailable, match=r"proxy|refused"):
        make_client("http://llm.example/v1").complete(make_ask())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_stalls_is_left_at_the_deadline(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, monkeypatch: Any, scheme: str
) -> None:
    proxy = raw_llm(wire.stall)
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    start = time.monotonic()
    with pytest.raises((LLMUnavailable, LLMTimeout)) as caught:
        make_client(f"{scheme}://llm.example/v1", timeout_s=0.5).complete(make_ask())
    assert time.monotonic() - start < 1.2
    # Through a tunnel nothing of the request had been sent yet.
    assert caught.value.calls == (1 if scheme == "http" else 0)


def test_no_cookie_is_kept(llm: Any, client: Any, make_ask: Any) -> None:
    good = llm.completion('{"label": "x", "confidence": 1}')
    good.headers["Set-Cookie"] = "session=1; Path=/"
    llm.replies(good)
    client.complete(make_ask())
    client.complete(make_ask())
    assert "Cookie" not in llm.headers[1]


def test_building_a_client_opens_nothing_and_survives_a_fork(
    raw_llm: Any, make_ask: Any, wire: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        while wire.read(connection):
            connection.sendall(wire.ok())

    server = raw_llm(serve)
    client = LLMClient(LLMSettings(server.url, wire.key, timeout_s=5))
    assert server.connections == 0
    pid = os.fork()
    if pid == 0:
        ok = client.complete(make_ask()).answer == wire.verdict(**wire.good)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.complete(make_ask()).calls == 1
    client.close()
    assert server.connections == 2


CERTIFICATE = Path(__file__).parent / "localhost.pem"
"""A key and a certificate for localhost that nothing but these tests trusts."""


def tls(serve: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def handshake_and_serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            serve(encrypted)

    return handshake_and_serve


def https(url: str) -> str:
    return url.replace("http://127.0.0.1", "https://localhost")


def test_a_server_with_a_trusted_certificate_is_asked_over_one_tls_connection(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, monkeypatch: Any
) -> None:
    def serve(connection: socket.socket) -> None:
        while wire.read(connection):
            connection.sendall(wire.ok())

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    server = raw_llm(tls(serve))
    client = make_client(https(server.url))
    for _ in range(3):
        assert client.complete(make_ask()).model == "raw-1"
    assert server.connections == 1


def test_a_certificate_that_is_not_trusted_means_unavailable(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any
) -> None:
    server = raw_llm(tls(lambda connection: connection.sendall(wire.ok())))
    with pytest.raises(LLMUnavailable, match="TLS"):
        make_client(https(server.url)).complete(make_ask())


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_the_deadline_holds_over_tls(
    raw_llm: Any, make_client: Any, make_ask: Any, wire: Any, monkeypatch: Any, beginning: bytes
) -> None:
    def serve(connection: socket.socket) -> None:
        wire.read(connection)
        connection.sendall(beginning)
        while not server.stopping.wait(0.05):
            connection.sendall(b"x" if beginning else b"")

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    server = raw_llm(tls(serve))
    start = time.monotonic()
    with pytest.raises(LLMTimeout):
        make_client(https(server.url), timeout_s=0.6).complete(make_ask())
    assert time.monotonic() - start < 1.2
