"""One ticket, run in this process against real databases and an LLM that does as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.errors import DatabaseUnavailableError
from app.store import claims, control
from app.store.database import Database
from tests.factories import attempts_of, moves_of, notifications_of, row_of
from tests.fakes import FakeLLM, followup
from workers import runner
from workers.runner import JobFailed, run


def test_an_answer_completes_the_job_and_is_kept_with_its_cost(database, install):
    llm = FakeLLM("Which kind of cello?")
    install(database, llm)
    job_id = followup(database)

    assert run(job_id, 1) is None

    row = row_of(database, job_id)
    assert (row.status, row.result) == ("completed", {"question": "Which kind of cello?"})
    assert (row.model, row.total_tokens, row.locked_by) == ("fake-1", 15, None)
    (attempt,) = attempts_of(database, job_id)
    assert (attempt.outcome, attempt.worker, attempt.llm_calls) == ("completed", "worker-1", 1)
    assert (attempt.prompt, attempt.answer) == ([{"role": "user"}], "Which kind of cello?")
    assert attempt.prompt_name == "followup"
    assert len(attempt.prompt_sha256) == 64
    assert [n["message_type"] for n in notifications_of(database, job_id)] == [
        "llm_followup_result"
    ]


def test_a_void_ticket_asks_nobody_anything(database, install):
    llm = FakeLLM("Which one?")
    install(database, llm)
    job_id = followup(database)

    assert run(job_id, 2) is None
    assert run("no-such-job", 1) is None
    assert run({"job": 1}, "x") is None

    assert llm.asked == []
    assert row_of(database, job_id).status == "queued"


def test_an_answer_of_a_cancelled_job_is_thrown_away(database, install):
    def cancel_meanwhile() -> str:
        with database.begin() as connection:
            control.cancel(connection, control.locked(connection, job_id), "api")
        return "Which one?"

    install(database, FakeLLM(cancel_meanwhile))
    job_id = followup(database)

    assert run(job_id, 1) is None

    assert row_of(database, job_id).status == "cancelled"
    assert row_of(database, job_id).result is None
    assert notifications_of(database, job_id) == []


class Shaky:
    """A database whose commits break: ``"before"`` or ``"after"`` they have taken effect."""

    def __init__(self, database: Database, breaks: dict[int, str]) -> None:
        self._database = database
        self._breaks = breaks
        self._count = 0
        self.forgotten = 0

    @contextmanager
    def begin(self) -> Iterator[Any]:
        self._count += 1
        how = self._breaks.get(self._count)
        if how == "before":
            raise DatabaseUnavailableError("away")
        with self._database.begin() as connection:
            yield connection
        if how == "after":
            raise DatabaseUnavailableError("away")

    def read(self) -> Any:
        return self._database.read()

    def forget_connections(self) -> None:
        self.forgotten += 1


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("transaction", [1, 2])
def test_a_broken_commit_neither_loses_nor_repeats_the_attempt(database, install, how, transaction):
    llm = FakeLLM("Which one?")
    shaky = Shaky(database, {transaction: how})
    install(shaky, llm)
    job_id = followup(database)

    assert run(job_id, 1) is None

    assert shaky.forgotten == 1
    assert len(llm.asked) == 1
    assert moves_of(database, job_id) == [
        (None, "queued"),
        ("queued", "processing"),
        ("processing", "completed"),
    ]
    assert len(attempts_of(database, job_id)) == 1


def test_a_database_that_stays_away_at_the_claim_leaves_the_job_to_maintenance(
    sqlite_database, install, monkeypatch
):
    monkeypatch.setattr(runner, "CLAIM_PATIENCE_S", 0.1)
    llm = FakeLLM("Which one?")
    install(Shaky(sqlite_database, dict.fromkeys(range(1, 9), "before")), llm)
    job_id = followup(sqlite_database)

    with pytest.raises(JobFailed, match="database_unavailable"):
        run(job_id, 1)

    assert llm.asked == []
    assert row_of(sqlite_database, job_id).status == "queued"


def test_a_database_that_is_away_for_good_at_the_end_leaves_the_lease_to_run_out(
    sqlite_database, install, monkeypatch
):
    monkeypatch.setattr(runner, "FINISH_MARGIN_S", 1e9)
    monkeypatch.setattr(runner, "_ticket_of_rq", lambda _: runner._Ticket(None, 0.5))
    install(Shaky(sqlite_database, dict.fromkeys(range(2, 99), "before")), FakeLLM("Which one?"))
    job_id = followup(sqlite_database)

    with pytest.raises(JobFailed, match="database_unavailable"):
        run(job_id, 1)

    assert row_of(sqlite_database, job_id).status == "processing"


def test_two_workers_with_the_same_ticket_start_one_attempt(database, install):
    llm = FakeLLM("Which one?")
    job_id = followup(database)
    install(database, llm)

    threads = [threading.Thread(target=run, args=(job_id, 1)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(llm.asked) == 1
    assert len(attempts_of(database, job_id)) == 1


def test_the_lease_is_held_by_the_token_of_the_execution(database, install):
    held: list[bool] = []

    def look() -> str:
        with database.begin() as connection:
            held.append(claims.extend_lease(connection, job_id, made.token, 30.0))
            held.append(claims.extend_lease(connection, job_id, "another", 30.0))
        return "Which one?"

    made = install(database, FakeLLM(look))
    job_id = followup(database)

    run(job_id, 1)

    assert held == [True, False]
