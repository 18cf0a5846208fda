"""A scripted LLM over real HTTP, a raw one over a socket, and questions to ask them."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.jobs.ask import Ask, Image, Prompt
from workers.llm import LLMClient, LLMSettings

API_KEY = "sk-canary-0123456789"


class Verdict(BaseModel):
    """An answer with a range and an optional part."""

    model_config = ConfigDict(extra="ignore")

    label: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    note: str | None = None


GOOD = {"label": "yes", "confidence": 0.5}


class ScriptedLLM:
    """Answers with the given replies in order, the last one for ever, and keeps what it got."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/v1")
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._replies: list[Response] = []
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(
            self._answer
        )

    def _answer(self, request: Request) -> Response:
        self.requests.append(request.get_json())
        self.headers.append(dict(request.headers))
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def replies(self, *replies: Response) -> None:
        """What to answer from now on."""
        self._replies = list(replies)

    def says(self, *contents: Any, **extra: Any) -> None:
        """Chat completions with these contents."""
        self.replies(*(self.completion(content, **extra) for content in contents))

    @staticmethod
    def completion(
        content: Any, finish_reason: str = "stop", model: str = "tiny-1", **extra: Any
    ) -> Response:
        """A chat completion; ``extra`` goes into the message, ``usage`` onto the top."""
        usage = extra.pop("usage", {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12})
        message = {"role": "assistant", "content": content, **extra}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        body = {"model": model, "choices": [choice], "usage": usage}
        return Response(json.dumps(body), content_type="application/json")

    @staticmethod
    def error(status: int, body: Any = "", headers: dict[str, str] | None = None) -> Response:
        """An HTTP error; a body that is no text is sent as JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(text, status=status, headers=headers)

    @staticmethod
    def body(text: str | bytes) -> Response:
        """A 200 with any body at all."""
        return Response(text, content_type="application/json")


class RawLLM:
    """A TCP server whose every connection is served by ``serve(connection)`` in a thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections = 0
        self.stopping = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                return

    def stop(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """One whole HTTP request; empty when the client has closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        if not piece:
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def stall(connection: socket.socket) -> None:
    """Say nothing until the client gives up."""
    while connection.recv(65_536):
        pass


def ok_response(content: Any = None, *, headers: str = "") -> bytes:
    """A whole HTTP response with a chat completion."""
    text = json.dumps(GOOD) if content is None else content
    body = json.dumps(
        {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "model": "raw-1"}
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@pytest.fixture
def llm(httpserver: HTTPServer) -> ScriptedLLM:
    """A scripted LLM over HTTP."""
    return ScriptedLLM(httpserver)


@pytest.fixture
def raw_llm() -> Iterator[Callable[[Callable[[socket.socket], None]], RawLLM]]:
    """Starts servers that speak to the client byte by byte."""
    servers: list[RawLLM] = []

    def start(serve: Callable[[socket.socket], None]) -> RawLLM:
        servers.append(RawLLM(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def make_client() -> Iterator[Callable[..., LLMClient]]:
    """Clients, closed at the end."""
    clients: list[LLMClient] = []

    def make(url: str, **changes: Any) -> LLMClient:
        defaults: dict[str, Any] = {"api_key": API_KEY, "timeout_s": 5.0, "vision_timeout_s": 5.0}
        clients.append(LLMClient(LLMSettings(base_url=url, **(defaults | changes))))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(llm: ScriptedLLM, make_client: Callable[..., LLMClient]) -> LLMClient:
    """A client of the scripted LLM."""
    return make_client(llm.url)


@pytest.fixture
def make_ask() -> Callable[..., Ask]:
    """Questions: for a ``Verdict`` unless told otherwise."""

    def make(
        answer: type[BaseModel] | None = Verdict,
        *,
        system: str = "Judge the text.",
        user: str = "<text>\nfine\n</text>",
        image: Image | None = None,
        **changes: Any,
    ) -> Ask:
        prompt = Prompt(name="verdict", version="1", sha256="0" * 64, system=system, user=user)
        return Ask(prompt=prompt, answer=answer, image=image, **changes)

    return make


@pytest.fixture
def wire() -> Any:
    """What raw servers speak with, and what they are asked."""

    class Wire:
        read = staticmethod(read_request)
        stall = staticmethod(stall)
        ok = staticmethod(ok_response)
        good = GOOD
        verdict = Verdict
        key = API_KEY

    return Wire
