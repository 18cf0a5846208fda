"""Watching over a work-horse: waiting for its end, its time-out, its death."""

import os
import select
import signal
import time
from contextlib import suppress

POLL_S = 0.5


def wait_for_exit(pid: int, timeout_s: float | None) -> int | None:
    """The wait status of the child, or ``None`` when it still runs after ``timeout_s`` seconds.

    Sleeps on a pidfd, so that it wakes as soon as the child ends and needs no alarm. Signals'
    handlers run meanwhile, and what they raise comes through. A child that somebody else has
    reaped counts as killed.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    descriptor = _pidfd(pid)
    try:
        while True:
            with suppress(ChildProcessError):
                ended, status, _usage = os.wait4(pid, os.WNOHANG)
                if ended == 0:
                    if deadline is not None and time.monotonic() >= deadline:
                        return None
                    _sleep(descriptor, deadline)
                    continue
                return status
            return int(signal.SIGKILL)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _pidfd(pid: int) -> int | None:
    """A descriptor that is readable when the process has ended; ``None`` where there is none."""
    with suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def _sleep(descriptor: int | None, deadline: float | None) -> None:
    left_s = POLL_S if deadline is None else max(0.0, min(POLL_S, deadline - time.monotonic()))
    if descriptor is None:
        time.sleep(min(left_s, 0.02))
    else:
        select.select([descriptor], [], [], left_s)


def kill_group(pid: int, sig: signal.Signals) -> bool:
    """Send the signal to the work-horse's process group; ``False`` when there is none.

    Never with pid 0, and never by asking for the child's group: before its setpgid that is the
    worker's own, which would be killed with it.
    """
    if pid <= 0:
        return False
    try:
        os.killpg(pid, sig)
    except ProcessLookupError:
        return False
    return True
