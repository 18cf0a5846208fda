"""A heartbeat beside the work: a thread that calls a function every few seconds.

The supervision of a work-horse must never wait for SQL or Redis, so both are told from threads of
their own. They are started after the fork and stopped before the next one.
"""

import logging
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

logger = logging.getLogger(__name__)

_started: WeakSet[threading.Thread] = WeakSet()


class Beat(threading.Thread):
    """Calls ``action`` every ``interval_s`` seconds until it is stopped; errors are logged."""

    def __init__(self, name: str, interval_s: float, action: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._interval_s = interval_s
        self._action = action
        self._stopped = threading.Event()
        _started.add(self)

    def run(self) -> None:
        """Beat until stopped."""
        while not self._stopped.wait(self._interval_s):
            try:
                self._action()
            except Exception as error:  # noqa: BLE001 - the next beat may succeed
                logger.warning("%s: a beat was missed: %s", self.name, type(error).__name__)

    def stop(self, patience_s: float = 0.2) -> None:
        """End the beats; one that hangs is left behind, it dies with the process."""
        self._stopped.set()
        self.join(patience_s)


def bounded(name: str, action: Callable[[], object], patience_s: float) -> None:
    """Call ``action`` once in a thread and wait for it no longer than ``patience_s``."""

    def attempt() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - best effort, somebody else will do it later
            logger.warning("%s failed: %s", name, type(error).__name__)

    thread = threading.Thread(target=attempt, name=name, daemon=True)
    _started.add(thread)
    thread.start()
    thread.join(patience_s)


def settle(patience_s: float) -> None:
    """Before a fork: wait for what was left behind, but not for ever.

    A fork in the middle of another thread's SQLite transaction copies its lock into the child,
    where nobody ever gives it back: no write of the child would succeed.
    """
    deadline = time.monotonic() + patience_s
    for thread in list(_started):
        if thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))
