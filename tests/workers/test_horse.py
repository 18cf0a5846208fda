import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workers import horse
from workers.horse import kill_group, wait_for_exit

PAUSE = "import signal; signal.pause()"


@contextmanager
def _child(program: str) -> Iterator[int]:
    """A process of its own group, which only the test reaps."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ, setpgroup=0)
    try:
        yield pid
    finally:
        kill_group(pid, signal.SIGKILL)
        wait_for_exit(pid, 10)


@pytest.fixture(params=[True, False], ids=["pidfd", "polling"])
def _with_or_without_pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("_with_or_without_pidfd")
class TestWaiting:
    @pytest.mark.parametrize("code", [0, 3])
    def test_the_end_of_a_child_is_told_by_its_status(self, code: int) -> None:
        with _child(f"raise SystemExit({code})") as pid:
            status = wait_for_exit(pid, None)

            assert status is not None
            assert os.waitstatus_to_exitcode(status) == code

    def test_a_killed_child_is_told_by_its_signal(self) -> None:
        with _child(PAUSE) as pid:
            os.kill(pid, signal.SIGKILL)
            status = wait_for_exit(pid, 10)

            assert status is not None
            assert os.WTERMSIG(status) == signal.SIGKILL

    def test_a_child_that_still_runs_is_none(self) -> None:
        with _child(PAUSE) as pid:
            started = time.monotonic()

            assert wait_for_exit(pid, 0.3) is None
            assert 0.3 <= time.monotonic() - started < 5
            assert wait_for_exit(pid, 0.0) is None

    def test_a_child_that_somebody_else_reaped_counts_as_killed(self) -> None:
        with _child("pass") as pid:
            os.waitpid(pid, 0)

            assert wait_for_exit(pid, 10) == signal.SIGKILL

    def test_the_wait_ends_soon_after_the_child(self) -> None:
        with _child(PAUSE) as pid:
            threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
            started = time.monotonic()
            wait_for_exit(pid, 30)

            assert time.monotonic() - started < 5

    def test_what_a_signals_handler_raises_ends_the_wait(self) -> None:
        def stop(_signum: int, _frame: object) -> None:
            raise InterruptedError("second SIGTERM")

        before = signal.signal(signal.SIGUSR1, stop)
        try:
            with _child(PAUSE) as pid:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                with pytest.raises(InterruptedError, match="second SIGTERM"):
                    wait_for_exit(pid, 30)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_no_descriptor_is_left_open() -> None:
    with _child("pass") as pid:
        before = _open_descriptors()
        wait_for_exit(pid, 10)
        assert _open_descriptors() <= before


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_signal_reaches_the_childs_whole_group() -> None:
    program = (
        "import subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, '-c', {PAUSE!r}]);"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, process_group=0
    ) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())

        assert kill_group(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 10
    while _runs(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - not a path of ours
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("pid", [0, -1])
def test_the_workers_own_group_is_never_killed(monkeypatch: pytest.MonkeyPatch, pid: int) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a signal was sent")

    monkeypatch.setattr(horse.os, "killpg", fail)

    assert not kill_group(pid, signal.SIGKILL)


def test_a_group_that_is_gone_is_no_error() -> None:
    with _child("pass") as pid:
        wait_for_exit(pid, 10)

        assert not kill_group(pid, signal.SIGKILL)
