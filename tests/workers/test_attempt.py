"""How an attempt ends, for each way in which the LLM or the job type can go wrong."""

from typing import Any

import pytest
from rq.timeouts import JobTimeoutException

from app.job_types.registry import all_job_types
from app.store.rows import Usage
from tests.factories import add_job, attempts_of, notifications_of, row_of, set_columns
from tests.fakes import FakeLLM, followup
from workers.llm import (
    AnswerTruncated,
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
def test_the_last_counted_outcome_fails_the_job_and_tells_its_user(sqlite_database, install, error):
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


def test_every_outcome_of_the_llm_is_covered_here():
    assert set(LLMError.__subclasses__()) == {*COUNTED, *PERMANENT, *UNCOUNTED}
