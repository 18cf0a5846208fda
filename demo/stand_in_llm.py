"""A stand-in for an LLM: a real HTTP server that speaks OpenAI's protocol and answers by rules.

For the demo, tests and load, never for production. ``python -m demo.stand_in_llm --port N`` runs
it; in a test ``with StandIn() as llm: … llm.url``. It serves ``POST /v1/chat/completions``, ``GET
/v1/models`` and ``GET /health``. It misbehaves when ``POST /_control`` tells it to (see
``demo.stand_in.behaviour``), and ``GET /_control/calls`` lists what it was asked.
"""

import argparse
import signal
import socket
import sys
from http.server import ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import FrameType
from typing import Any, Self

from demo.stand_in.behaviour import Behaviour, Misbehaviour
from demo.stand_in.handler import handler_for
from demo.stand_in.times import warm_up

_STOP_TIMEOUT_S = 5.0


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping ends those that a client keeps alive."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], behaviour: Behaviour) -> None:
        self.stopping = Event()
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(address, handler_for(behaviour, self.stopping))

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End every connection; the threads that serve them then end, too."""
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class StandIn:
    """The stand-in in a thread of this process; ``port`` 0 takes a free one."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._behaviour = Behaviour()
        self._server = _Server((host, port), self._behaviour)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/v1"

    def start(self) -> Self:
        """Begin to serve; the port was taken when the object was made."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it and every connection."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join(_STOP_TIMEOUT_S)

    def misbehave(self, mode: str, **how: Any) -> None:
        """As ``POST /_control`` does; ``misbehave("none")`` ends it."""
        self._behaviour.set(Misbehaviour.model_validate({"mode": mode, **how}))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What it was asked, the oldest first, as ``GET /_control/calls`` lists it."""
        listed: list[dict[str, Any]] = self._behaviour.calls()["calls"]
        return listed

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code is 0 then, 1 when it cannot start."""
    options = _options(arguments)
    try:
        server = _Server((options.host, options.port), Behaviour())
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"The stand-in cannot listen on {options.host}:{options.port}: {error}\n")
        return 1
    with server:
        try:
            warm_up()
        except ModuleNotFoundError:
            sys.stderr.write("The stand-in reads dates with dateparser: pip install dateparser\n")
            return 1
        _serve(server, f"http://{options.host}:{server.server_address[1]}/v1")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo.stand_in_llm",
        description="A stand-in for an LLM, for the demo and for tests.",
    )
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    return parser.parse_args(arguments)


def _serve(server: _Server, url: str) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the loop, which this signal interrupts: it must run beside it.
        Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sys.stdout.write(f"The stand-in LLM listens at {url}\n")
    sys.stdout.flush()
    server.serve_forever(0.1)
    server.hang_up()


if __name__ == "__main__":
    sys.exit(main())
