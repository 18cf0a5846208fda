"""The HTTP side of the stand-in: its routes, and the misbehaviour that is on the wire."""

import json
import select
import socket
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any, ClassVar

from pydantic import ValidationError

from demo.stand_in import completions
from demo.stand_in.behaviour import Behaviour, Misbehaviour
from demo.stand_in.pictures import NoImageError
from demo.stand_in.question import Question, UnreadableError, read_question
from demo.stand_in.rules import answer

MAX_BODY_BYTES = 64_000_000
_PAUSE_S = 0.1


class Handler(BaseHTTPRequestHandler):
    """One connection. ``behaviour`` and ``stopping`` are set on a subclass per server."""

    behaviour: ClassVar[Behaviour]
    stopping: ClassVar[Event]

    protocol_version = "HTTP/1.1"
    server_version = "stand-in"
    sys_version = ""
    # Header and body in one segment: two would wait for each other (Nagle, delayed ACK).
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """``/health``, ``/v1/models``, ``/_control/calls``."""
        routes = {
            "/health": lambda: {"status": "ok"},
            "/v1/models": completions.models,
            "/_control/calls": self.behaviour.calls,
        }
        route = routes.get(self.path)
        if route is None:
            self._send(404, completions.error(f"there is nothing at {self.path}", "not_found"))
        else:
            self._send(200, route())

    def do_DELETE(self) -> None:
        """``/_control/calls``: forget them."""
        if self.path != "/_control/calls":
            self._send(404, completions.error(f"there is nothing at {self.path}", "not_found"))
            return
        self.behaviour.forget_calls()
        self._send(200, self.behaviour.calls())

    def do_POST(self) -> None:
        """``/v1/chat/completions`` and ``/_control``."""
        routes = {"/v1/chat/completions": self._complete, "/_control": self._control}
        body = self._read()
        if body is None:
            return
        route = routes.get(self.path)
        if route is None:
            self._send(404, completions.error(f"there is nothing at {self.path}", "not_found"))
            return
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            self._send(400, completions.error("the body is not JSON"))
            return
        route(document)

    def _control(self, document: Any) -> None:
        try:
            misbehaviour = Misbehaviour.model_validate(document)
        except ValidationError as error:
            self._send(422, {"detail": json.loads(error.json(include_url=False))})
            return
        self.behaviour.set(misbehaviour)
        self._send(200, misbehaviour.model_dump())

    def _complete(self, document: Any) -> None:
        try:
            question = read_question(document)
            response = completions.completion(question, answer(question))
        except (UnreadableError, NoImageError) as error:
            self._send(400, completions.error(str(error)))
            return
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError):
            self._send(400, completions.error("the request makes no sense"))
            return
        self._behave(self.behaviour.take(question), question, response)

    def _behave(self, told: Misbehaviour, question: Question, response: Any) -> None:
        match told.mode:
            case "none":
                self._send(200, response)
            case "status":
                said = completions.error("told to fail", "server_error")
                self._send(told.status, said if told.body is None else told.body, told.headers)
            case "latency":
                if self._waited(told.seconds):
                    self._send(200, response)
            case "hang":
                self._waited(None)
                self.close_connection = True
            case "trickle":
                self._send(200, response, pause_s=told.seconds)
            case "malformed":
                text = told.body if isinstance(told.body, str) else 'Sure! {"intent": "remin'
                self._send(200, completions.response(question, text))
            case "truncate":
                self._send(200, completions.truncated(question, answer(question)))
            case "refuse":
                self._send(200, completions.refusal(question))

    def _read(self) -> bytes | None:
        """The request's body, or ``None`` after an error was answered."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self.close_connection = True
            self._send(411, completions.error("Content-Length is missing"))
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(413, completions.error("the body is too large"))
            return None
        return self.rfile.read(int(length))

    def _send(
        self,
        status: int,
        content: Any,
        headers: Mapping[str, str] | None = None,
        pause_s: float | None = None,
    ) -> None:
        is_text = isinstance(content, str)
        body = content.encode() if is_text else json.dumps(content).encode()
        kind = "text/plain; charset=utf-8" if is_text else "application/json"
        fields = {"Content-Type": kind, **(headers or {}), "Content-Length": str(len(body))}
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in [body] if pause_s is None else self._slowly(body, pause_s):
            self.wfile.write(piece)
            self.wfile.flush()

    def _slowly(self, body: bytes, pause_s: float) -> Iterator[bytes]:
        for byte in body:
            if not self._waited(pause_s):
                self.close_connection = True
                return
            yield bytes([byte])

    def _waited(self, seconds: float | None) -> bool:
        """Wait, for ever with ``None``; ``False`` when the client has gone or the server stops."""
        waited_s = 0.0
        while seconds is None or waited_s < seconds:
            pause_s = _PAUSE_S if seconds is None else min(_PAUSE_S, seconds - waited_s)
            if self.stopping.wait(pause_s) or self._client_has_gone():
                self.close_connection = True
                return False
            waited_s += pause_s
        return True

    def _client_has_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        peeked: bytes = self.connection.recv(1, socket.MSG_PEEK)
        return not peeked

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Nothing: prompts do not belong in a log, and tests read ``/_control/calls``."""


def handler_for(behaviour: Behaviour, stopping: Event) -> type[Handler]:
    """The handler class of one server."""
    return type("BoundHandler", (Handler,), {"behaviour": behaviour, "stopping": stopping})
