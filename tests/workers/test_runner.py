"""One ticket, run in this process against real databases and an LLM that does as it is told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rq.timeouts import JobTimeoutException

from app.errors import DatabaseUnavailableError
from app.job_types.registry import all_job_types
from app.jobs.ask import Ask
from app.store import claims, control
from app.store.database import Database
from app.store.rows import Usage
from tests.factories import add_job, attempts_of, moves_of, notifications_of, row_of, set_columns
from workers import runner, runtime
from workers.llm import (
    AnswerTruncated,
    Completion,
    InvalidAnswer,
    LLMError,
    LLMQuotaExhausted,
    LLMRefused,
    LLMRejected,
    LLMServerError,
    LLMThrottled,
    LLMTimeout,
    LLMUnavailable,
)
from workers.runner import JobFailed, run
from workers.runtime import Runtime

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


@pytest.fixture
def install(make_settings) -> Iterator[Callable[..., Runtime]]:
    """Make a runtime for a database and an LLM the process's own."""

    def make(database: Any, llm: Any, **variables: Any) -> Runtime:
        made = Runtime(make_settings(**variables), database, llm, worker_name="worker-1")
        runtime.install(made)
        return made

    yield make
    runtime.install(None)  # type: ignore[arg-type]  # the next test builds its own


def followup(database: Database, **fields: Any) -> str:
    fields = {"job_type": "followup", "queue": "llm_followup", "payload": FOLLOWUP} | fields
    return add_job(database, **fields)


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


COUNTED = [LLMTimeout, InvalidAnswer, AnswerTruncated, LLMServerError]
PERMANENT = [LLMRefused, LLMRejected]
UNCOUNTED = [LLMUnavailable, LLMThrottled, LLMQuotaExhausted]


@pytest.mark.parametrize("error", COUNTED)
def test_a_counted_outcome_makes_the_job_wait_and_files_the_ticket(sqlite_database, install, error):
    install(sqlite_database, FakeLLM(error("it went wrong")))
    job_id = followup(sqlite_database)

    with pytest.raises(JobFailed, match=f"^{error.code}$") as raised:
        run(job_id, 1)

    assert raised.value.__context__ is None
    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures, row.error_code) == ("queued", 1, error.code)
    assert row.error_message == "it went wrong"
    assert 0.9 <= (row.available_at - row.updated_at).total_seconds() <= 1.6
    assert row.dispatched_at.year == 1970
    assert notifications_of(sqlite_database, job_id) == []


@pytest.mark.parametrize("error", COUNTED)
def test_the_last_counted_outcome_fails_the_job_and_tells_its_user(
    sqlite_database, install, error
):
    install(sqlite_database, FakeLLM(error("it went wrong")))
    job_id = followup(sqlite_database, max_attempts=1)

    with pytest.raises(JobFailed):
        run(job_id, 1)

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures) == ("failed", 1)
    (told,) = notifications_of(sqlite_database, job_id)
    assert told["message_type"] == "llm_failure"
    assert told["content"]["error_code"] == error.code


@pytest.mark.parametrize("error", PERMANENT)
def test_a_permanent_outcome_ends_the_job_at_once(sqlite_database, install, error):
    install(sqlite_database, FakeLLM(error("no")))
    job_id = followup(sqlite_database)

    with pytest.raises(JobFailed):
        run(job_id, 1)

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.error_code) == ("error", error.code)


@pytest.mark.parametrize("error", UNCOUNTED)
def test_an_uncounted_outcome_waits_without_a_failure_and_files_nothing(
    sqlite_database, install, error
):
    install(sqlite_database, FakeLLM(error("away")))
    job_id = followup(sqlite_database, max_attempts=1)

    assert run(job_id, 1) is None

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures, row.deferrals) == ("queued", 0, 1)
    assert row.deferred_since is not None
    waits_s = (row.available_at - row.updated_at).total_seconds()
    assert waits_s == pytest.approx(3600 if error is LLMQuotaExhausted else 1.25, abs=0.5)


def test_a_throttled_job_waits_as_long_as_the_server_asked(sqlite_database, install):
    install(sqlite_database, FakeLLM(LLMThrottled("slow down", retry_after_s=17.0)))
    job_id = followup(sqlite_database)

    run(job_id, 1)

    row = row_of(sqlite_database, job_id)
    assert (row.available_at - row.updated_at).total_seconds() == pytest.approx(17.0, abs=0.5)


def test_an_llm_that_stays_away_too_long_fails_the_job(database, install):
    error = LLMUnavailable("away")
    install(database, FakeLLM(error), LLM_UNAVAILABLE_TTL="60")
    job_id = followup(database)
    run(job_id, 1)
    set_columns(database, [job_id], dispatched_at=row_of(database, job_id).created_at)
    install(database.shifted(61), FakeLLM(error), LLM_UNAVAILABLE_TTL="60")

    with pytest.raises(JobFailed, match="llm_unavailable"):
        run(job_id, 1)

    assert row_of(database, job_id).status == "failed"


def test_what_a_failed_attempt_cost_is_kept(database, install):
    error = InvalidAnswer("no JSON", text="sorry", calls=2)
    error.usage, error.model, error.messages = Usage(7, 1, 8), "fake-2", [{"role": "system"}]
    install(database, FakeLLM(error))
    job_id = followup(database)

    with pytest.raises(JobFailed):
        run(job_id, 1)

    (attempt,) = attempts_of(database, job_id)
    assert (attempt.outcome, attempt.error_code) == ("retry", "invalid_answer")
    assert (attempt.model, attempt.total_tokens, attempt.llm_calls) == ("fake-2", 8, 2)
    assert (attempt.answer, attempt.prompt) == ("sorry", [{"role": "system"}])
    assert row_of(database, job_id).total_tokens == 8


def test_an_answer_that_the_job_type_cannot_use_is_a_counted_failure(database, install):
    install(database, FakeLLM("I will not ask anything."))
    job_id = followup(database)

    with pytest.raises(JobFailed, match="invalid_answer"):
        run(job_id, 1)

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.result) == ("queued", 1, None)


def test_an_unknown_job_type_ends_in_error(database, install):
    install(database, FakeLLM("Which one?"))
    job_id = add_job(database, job_type="from_the_future", queue="llm_followup")

    with pytest.raises(JobFailed):
        run(job_id, 1)

    row = row_of(database, job_id)
    assert (row.status, row.error_code) == ("error", "unknown_job_type")


def test_a_stored_payload_that_is_wrong_ends_in_error_and_names_the_field(database, install):
    install(database, FakeLLM("Which one?"))
    job_id = followup(database, payload={"message": ["not", "text"]})

    with pytest.raises(JobFailed):
        run(job_id, 1)

    row = row_of(database, job_id)
    assert (row.status, row.error_code) == ("error", "bad_payload")
    assert "message" in row.error_message


def test_a_bug_in_a_job_type_is_a_counted_failure_that_leaks_nothing(
    database, install, monkeypatch, caplog
):
    def broken(*_: Any) -> None:
        raise RuntimeError("the payload was SECRET")

    monkeypatch.setattr(type(all_job_types()["followup"]), "apply", broken)
    install(database, FakeLLM("Which one?"))
    job_id = followup(database)

    with pytest.raises(JobFailed, match="internal_error"):
        run(job_id, 1)

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.error_code) == ("queued", 1, "internal_error")
    assert "RuntimeError" in row.error_message
    assert "SECRET" not in row.error_message + caplog.text
    assert row_of(database, job_id).result is None


def test_a_time_out_is_a_counted_failure(database, install):
    install(database, FakeLLM(JobTimeoutException("Task exceeded maximum timeout value")))
    job_id = followup(database)

    with pytest.raises(JobFailed, match="job_timeout"):
        run(job_id, 1)

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.error_code) == ("queued", 1, "job_timeout")


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
def test_a_broken_commit_neither_loses_nor_repeats_the_attempt(
    database, install, how, transaction
):
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


def test_every_outcome_of_the_llm_is_covered_here():
    assert set(LLMError.__subclasses__()) == {*COUNTED, *PERMANENT, *UNCOUNTED}


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
