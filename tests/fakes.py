"""Fakes of what a work-horse works with, for tests that run it in this process."""

import time
from collections.abc import Callable

from app.jobs.ask import Ask
from app.store.database import Database
from app.store.rows import Usage
from tests.factories import add_job
from workers.llm import Completion

FOLLOWUP = {"message": "I want to learn the cello"}


class FakeLLM:
    """Answers, or raises what it is given; remembers what it was asked."""

    def __init__(self, outcome: str | Exception | Callable[[], str]) -> None:
        self.outcome = outcome
        self.asked: list[Ask] = []

    def complete(self, ask: Ask, deadline: float | None = None) -> Completion:
        assert deadline is not None
        assert deadline > time.monotonic()
        self.asked.append(ask)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        text = self.outcome if isinstance(self.outcome, str) else self.outcome()
        return Completion(text, text, "fake-1", Usage(10, 5, 15), False, 1, [{"role": "user"}])


def followup(database: Database, **fields: object) -> str:
    """Store a queued ``followup`` job; returns its id."""
    fields = {"job_type": "followup", "queue": "llm_followup", "payload": FOLLOWUP} | fields
    return add_job(database, **fields)
