from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from app.jobs.status import JobStatus
from app.store import control, outcomes, relay, transitions
from app.store.claims import Claim
from app.store.database import EPOCH, Database, sql_time
from app.store.outcomes import Report
from app.store.user_tables import tasks
from tests.factories import (
    LATER,
    PROBLEM,
    add_job,
    attempts_of,
    claimed,
    moves_of,
    notifications_of,
    row_of,
    waiting,
)

End = Callable[[Connection, Claim], bool]


def _add_task(connection: Connection) -> dict[str, Any]:
    connection.execute(
        insert(tasks).values(
            id="task",
            owner_user_id=7,
            description="water the plants",
            state="NOT_DONE",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    return {"task": "task"}


def _tasks_in(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(tasks)).scalar_one()


def _complete(connection: Connection, claim: Claim) -> bool:
    return outcomes.complete(connection, claim, Report(), "llm_intent_result", _add_task)


def _retry_later(connection: Connection, claim: Claim) -> bool:
    return outcomes.retry_later(connection, claim, PROBLEM, Report(), 5.0)


def _defer(connection: Connection, claim: Claim) -> bool:
    return outcomes.defer(connection, claim, PROBLEM, Report(), 5.0)


def _fail(connection: Connection, claim: Claim) -> bool:
    return outcomes.fail(connection, claim, JobStatus.FAILED, PROBLEM, Report(), counted=True)


def _release(connection: Connection, claim: Claim) -> bool:
    return outcomes.release(connection, claim, "worker shut down")


ENDS = [_complete, _retry_later, _defer, _fail, _release]


@pytest.mark.parametrize("end", ENDS)
def test_an_attempt_that_lost_its_lease_writes_nothing(database: Database, end: End) -> None:
    claim = claimed(database)
    before = row_of(database, claim.job_id)
    stranger = replace(claim, token="another")

    with database.begin() as connection:
        assert not end(connection, stranger)

    assert row_of(database, claim.job_id) == before
    assert moves_of(database, claim.job_id)[-1] == ("queued", "processing")
    assert attempts_of(database, claim.job_id)[0].outcome is None
    assert _tasks_in(database) == 0


@pytest.mark.parametrize("end", ENDS)
def test_the_answer_for_a_job_that_was_cancelled_meanwhile_is_thrown_away(
    database: Database, end: End
) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        control.cancel(connection, control.locked(connection, claim.job_id), "api")

    with database.begin() as connection:
        assert not end(connection, claim)

    row = row_of(database, claim.job_id)
    assert (row.status, row.result) == ("cancelled", None)
    assert moves_of(database, claim.job_id)[-1] == ("processing", "cancelled")
    assert _tasks_in(database) == 0


@pytest.mark.parametrize("end", ENDS)
def test_an_attempt_ends_once(database: Database, end: End) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        assert end(connection, claim)

    with database.begin() as connection:
        assert not any(second(connection, claim) for second in ENDS)
    assert len(moves_of(database, claim.job_id)) == 3


def test_completing_stores_rows_result_transition_and_notification_at_once(
    database: Database,
) -> None:
    claim = claimed(database)

    with database.begin() as connection:
        assert _complete(connection, claim)

    row = row_of(database, claim.job_id)
    assert (row.status, row.result, row.error_code) == ("completed", {"task": "task"}, None)
    assert row.finished_at is not None
    assert (row.locked_by, row.lease_until) == (None, None)
    assert moves_of(database, claim.job_id)[-1] == ("processing", "completed")
    assert notifications_of(database, claim.job_id) == [
        {"user_id": 7, "message_type": "llm_intent_result", "content": {"task": "task"}}
    ]
    assert attempts_of(database, claim.job_id)[0].outcome == "completed"
    assert _tasks_in(database) == 1


def test_what_apply_raises_undoes_everything(database: Database) -> None:
    claim = claimed(database)

    def apply(connection: Connection) -> None:
        _add_task(connection)
        raise LookupError("no such memory")

    with pytest.raises(LookupError), database.begin() as connection:
        outcomes.complete(connection, claim, Report(), "llm_intent_result", apply)

    row = row_of(database, claim.job_id)
    assert (row.status, row.locked_by) == ("processing", claim.token)
    assert moves_of(database, claim.job_id)[-1] == ("queued", "processing")
    assert notifications_of(database, claim.job_id) == []
    assert _tasks_in(database) == 0


def test_a_fenced_attempt_does_not_even_call_apply(database: Database) -> None:
    claim = replace(claimed(database), token="another")

    def apply(_: Connection) -> None:
        raise AssertionError("apply was called")

    with database.begin() as connection:
        assert not outcomes.complete(connection, claim, Report(), None, apply)


@pytest.mark.parametrize(
    ("user_id", "message_type", "result"),
    [
        (None, "llm_intent_result", {"a": 1}),
        (7, None, {"a": 1}),
        (7, "llm_intent_result", None),
    ],
)
def test_without_a_user_a_type_or_a_result_nobody_is_notified(
    database: Database, user_id: int | None, message_type: str | None, result: Any
) -> None:
    claim = claimed(database, add_job(database, user_id=user_id))

    with database.begin() as connection:
        outcomes.complete(connection, claim, Report(), message_type, lambda _: result)

    assert row_of(database, claim.job_id).status == "completed"
    assert notifications_of(database, claim.job_id) == []


def test_completing_clears_the_error_of_an_earlier_attempt(database: Database) -> None:
    job_id = waiting(database)
    assert row_of(database, job_id).error_code == "invalid_answer"
    claim = claimed(database, job_id, enqueued_at=LATER)

    with database.begin() as connection:
        _complete(connection, claim)

    row = row_of(database, job_id)
    assert (row.error_code, row.error_message) == (None, None)


def test_a_counted_failure_queues_the_job_again_with_its_error(database: Database) -> None:
    claim = claimed(database)

    with database.begin() as connection:
        assert _retry_later(connection, claim)
        now = sql_time(connection)

    row = row_of(database, claim.job_id)
    assert (row.status, row.failures, row.seq, row.dispatched_at) == ("queued", 1, 1, EPOCH)
    assert 4 < (row.available_at - now).total_seconds() <= 5
    assert (row.error_code, row.error_message) == ("invalid_answer", PROBLEM.message)
    assert (row.locked_by, row.lease_until, row.finished_at) == (None, None, None)
    (attempt,) = attempts_of(database, claim.job_id)
    assert (attempt.outcome, attempt.error_code) == ("retry", "invalid_answer")
    assert attempt.finished_at is not None
    assert notifications_of(database, claim.job_id) == []


def test_a_deferral_counts_no_failure_and_remembers_when_the_first_was(database: Database) -> None:
    job_id = add_job(database)
    first = claimed(database, job_id)
    with database.begin() as connection:
        _defer(connection, first)
    since = row_of(database, job_id).deferred_since
    with database.shifted(60).begin() as connection:
        relay.take_due(connection, 1)
    second = claimed(database.shifted(60), job_id, seq=2)
    with database.shifted(60).begin() as connection:
        _defer(connection, second)

    row = row_of(database, job_id)
    assert (row.failures, row.deferrals, row.deferred_since) == (0, 2, since)
    assert (row.status, row.dispatched_at) == ("queued", EPOCH)
    assert second.deferrals == 1
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["deferred"] * 2


def test_a_counted_failure_ends_the_run_of_deferrals(database: Database) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        _defer(connection, claim)
    again = claimed(database, claim.job_id, enqueued_at=LATER)
    with database.begin() as connection:
        _retry_later(connection, again)

    row = row_of(database, claim.job_id)
    assert (row.deferrals, row.deferred_since, row.failures) == (0, None, 1)


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.ERROR])
@pytest.mark.parametrize("counted", [True, False])
def test_a_job_that_ends_badly_tells_its_user(
    database: Database, status: JobStatus, counted: bool
) -> None:
    claim = claimed(database, add_job(database, payload={"query": "q", "memory_id": "m-1"}))

    with database.begin() as connection:
        assert outcomes.fail(connection, claim, status, PROBLEM, Report(), counted=counted)

    row = row_of(database, claim.job_id)
    assert (row.status, row.failures, row.result) == (status.value, int(counted), None)
    assert row.error_code == "invalid_answer"
    assert row.finished_at is not None
    assert moves_of(database, claim.job_id)[-1] == ("processing", status.value)
    assert notifications_of(database, claim.job_id) == [
        {
            "user_id": 7,
            "message_type": "llm_failure",
            "content": {
                "job_type": "intent_classify",
                "memory_id": "m-1",
                "error_code": "invalid_answer",
            },
        }
    ]


def test_a_released_job_runs_again_at_once_without_a_failure(database: Database) -> None:
    claim = claimed(database)

    with database.begin() as connection:
        assert _release(connection, claim)
        now = sql_time(connection)

    row = row_of(database, claim.job_id)
    assert (row.status, row.failures, row.deferrals) == ("queued", 0, 0)
    assert (row.dispatched_at, row.error_code) == (EPOCH, None)
    assert row.available_at <= now
    assert attempts_of(database, claim.job_id)[0].outcome == "released"


@pytest.mark.parametrize("end", ENDS)
def test_that_an_attempt_has_ended_is_seen_in_the_transitions(database: Database, end: End) -> None:
    claim = claimed(database)

    with database.begin() as connection:
        assert not transitions.has_left_processing(connection, claim.job_id, 1)
        end(connection, claim)
        assert transitions.has_left_processing(connection, claim.job_id, 1)
        assert not transitions.has_left_processing(connection, claim.job_id, 2)
