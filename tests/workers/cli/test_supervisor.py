"""Processes that are started, watched and ended together. The children are real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workers.cli.supervisor import ChildEndedError, Supervisor

_SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(600)"
    ),
]


def _wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _log_says(path: Path, text: str) -> Callable[[], bool]:
    return lambda: path.exists() and text in path.read_text()


def _children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_leaving_it_ends_the_children(tmp_path: Path) -> None:
    before = _children()
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("one", _SLEEPER, {})
        supervisor.start("two", _SLEEPER, {})
        supervisor.check()
        assert len(_children()) == len(before) + 2
    assert len(_children()) == len(before)


def test_a_child_gets_the_environment_and_a_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "log") as supervisor:
        command = ["sh", "-c", 'echo "says $WORD"; echo trouble >&2; exec sleep 600']
        supervisor.start("one", command, {"WORD": "hello"})
        _wait_until(_log_says(tmp_path / "log" / "one.log", "trouble"))
    assert (tmp_path / "log" / "one.log").read_text() == "says hello\ntrouble\n"


def test_a_child_that_ends_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("well", _SLEEPER, {})
        supervisor.start("web", ["sh", "-c", "seq 1 40; echo 'no such table'; exit 3"], {})

        def has_ended() -> bool:
            try:
                supervisor.check()
            except ChildEndedError as error:
                messages.append(error.message)
                return True
            return False

        messages: list[str] = []
        _wait_until(has_ended)
    first, *lines = messages[0].splitlines()
    assert first == f"web has ended (exit code 3). The end of {tmp_path / 'web.log'}:"
    assert lines[-1] == "  no such table"
    assert len(lines) == 15


def test_what_others_need_is_stopped_last(tmp_path: Path) -> None:
    record = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def stop(*_):\n"
        "    with open(sys.argv[2], 'a') as record: record.write(sys.argv[1] + ' ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Supervisor(tmp_path) as supervisor:
        for name in ("llm", "web"):
            command = [sys.executable, "-c", code, name, str(record)]
            supervisor.start(name, command, {}, is_needed_by_others=name == "llm")
            _wait_until(_log_says(tmp_path / f"{name}.log", "up"))
    assert record.read_text() == "web llm "


def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.supervisor._STOP_TIMEOUT_S", 0.3)
    before = _children()
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("one", _STUBBORN, {})
        _wait_until(_log_says(tmp_path / "one.log", "up"))
    assert _children() == before


def test_a_further_ctrl_c_kills_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start("one", _STUBBORN, {})
    _wait_until(_log_says(tmp_path / "one.log", "up"))
    [child] = [p for p in _children() if "SIG_IGN" in " ".join(p.cmdline())]

    def impatient(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "terminate", impatient)
        supervisor.stop()
    assert not child.is_running()


def test_the_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from workers.cli.supervisor import Supervisor\n"
        "supervisor = Supervisor(Path(sys.argv[1]))\n"
        "supervisor.start('one', ['sh', '-c', 'echo $$; exec sleep 600'], {})\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        _wait_until(_log_says(tmp_path / "one.log", "\n"))
        child = psutil.Process(int((tmp_path / "one.log").read_text()))
        assert child.is_running()
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    _wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
