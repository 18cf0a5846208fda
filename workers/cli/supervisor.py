"""Starts the processes of a system on one machine and ends them together."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.settings import child_environment
from queues.lifeline import die_with_parent
from workers.cli.environment import RefusedError

_STOP_TIMEOUT_S = 10.0
_LAST_LINES = 15


class ChildEndedError(RefusedError):
    """A process that should run has ended; the message holds the end of its log."""


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    is_needed_by_others: bool


class Supervisor:
    """Child processes with a log file each. A context manager: leaving it stops them all.

    Each is in a session of its own, so that Ctrl-C reaches this process alone, which then stops
    them in order; if this process is killed, the kernel kills them (PR_SET_PDEATHSIG).
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: list[_Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        is_needed_by_others: bool = False,
    ) -> None:
        """Start ``command`` with ``environment`` over this process's own.

        ``is_needed_by_others`` stops it after those that are not. Call it in the main thread.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        log_path = self._log_dir / f"{name}.log"
        parent = os.getpid()
        with log_path.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - commands of workers.cli.processes
                command,
                env=child_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - no thread runs yet
            )
        self._children.append(_Child(name, process, log_path, is_needed_by_others))

    def check(self) -> None:
        """Raise ``ChildEndedError`` if one of the children has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise ChildEndedError(
                    f"{child.name} has ended (exit code {code}). The end of {child.log_path}:\n"
                    f"{_last_lines(child.log_path)}"
                )

    def stop(self) -> None:
        """Stop all: SIGTERM, and SIGKILL after 10 s, or at once on a further Ctrl-C."""
        with suppress(KeyboardInterrupt):
            for is_needed in (False, True):
                self._stop_in_order(
                    [c for c in self._children if c.is_needed_by_others is is_needed]
                )
        for child in self._children:
            _kill(child.process)
        self._children.clear()

    def _stop_in_order(self, children: Sequence[_Child]) -> None:
        for child in children:
            child.process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what has not ended, with its group; an ended leader has stopped its own children."""
    if process.poll() is None:
        # Not reaped yet, so the group's number cannot be another's by now.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_lines(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
