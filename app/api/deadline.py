"""Asking something that may never answer, for a while only."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Bounded(Generic[T]):
    """Asks one question in a thread of its own, at most once at a time.

    A database server that is stopped, not dead, ignores its own time-outs, and the wait for it
    cannot be broken off. So the question waits on alone; until it is back nobody asks again.
    """

    def __init__(self, question: Callable[[], T], timeout_s: float) -> None:
        self._question = question
        self._timeout_s = timeout_s
        self._free = threading.Semaphore()

    def ask(self) -> T | None:
        """The answer, or ``None`` when it does not come in time. The question must not raise."""
        if not self._free.acquire(timeout=self._timeout_s):
            return None
        answers: list[T] = []
        asked = threading.Thread(target=self._run, args=(answers,), daemon=True)
        asked.start()
        asked.join(self._timeout_s)
        return answers[0] if answers else None

    def _run(self, answers: list[T]) -> None:
        try:
            answers.append(self._question())
        finally:
            self._free.release()
