"""A heartbeat beside the work: a thread that calls a function every few seconds.

The supervision of a work-horse must never wait for SQL or Redis, so both are told from threads of
their own. They are started after the fork and stopped before the next one.
"""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Beat(threading.Thread):
    """Calls ``action`` every ``interval_s`` seconds until it is stopped; errors are logged."""

    def __init__(self, name: str, interval_s: float, action: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._interval_s = interval_s
        self._action = action
        self._stopped = threading.Event()

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
    thread.start()
    thread.join(patience_s)
