"""What a client may do to a job later: cancel it, run it again."""

from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from app.errors import (
    IllegalTransitionError,
    NotFoundError,
)
from app.intake import Intake
from app.jobs.status import JobStatus
from app.store.database import EPOCH, Database, sql_time
from app.submission import Submission
from tests.factories import (
    add_job,
    attempts_of,
    cancelled,
    claimed,
    completed,
    ended,
    moves_of,
    row_of,
    ticket,
    try_claim,
    waiting,
)
from tests.relays import (
    file_as_failed,
    in_failed_registry,
    listed,
    push,
    ttl_s,
)

QUERY = {"query": "hello"}


def _submission(**fields: Any) -> Submission:
    return Submission(**({"job_type": "intent_classify", "payload": QUERY} | fields))


# -- cancel -----------------------------------------------------------------------------------


def test_a_queued_job_is_cancelled_at_once(
    intake: Intake, database: Database, redis_client: Redis
) -> None:
    job_id = intake.submit(_submission()).job.id

    job = intake.cancel(job_id)

    assert (job.status, job.finished_at is not None) == ("cancelled", True)
    assert moves_of(database, job_id) == [(None, "queued"), ("queued", "cancelled")]
    assert try_claim(database, job_id) is None
    assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300


def test_cancelling_a_running_job_fences_its_attempt_off(
    intake: Intake, database: Database
) -> None:
    job_id = claimed(database).job_id

    assert intake.cancel(job_id).status == "cancelled"

    assert moves_of(database, job_id)[-1] == ("processing", "cancelled")
    (attempt,) = attempts_of(database, job_id)
    assert (attempt.outcome, attempt.finished_at is not None) == ("cancelled", True)


def test_a_job_is_cancelled_while_redis_is_down(cut_off: Intake, database: Database) -> None:
    assert cut_off.cancel(claimed(database).job_id).status == "cancelled"


def test_a_job_that_has_ended_cannot_be_cancelled(intake: Intake, database: Database) -> None:
    for make, legal in ((completed, []), (cancelled, [])):
        with pytest.raises(IllegalTransitionError, match="It is final") as caught:
            intake.cancel(make(database))
        assert caught.value.extra["legal"] == legal
    with pytest.raises(IllegalTransitionError, match="It may become: queued"):
        intake.cancel(ended(database, JobStatus.FAILED))


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_job_that_does_not_exist_is_not_found(intake: Intake, verb: str) -> None:
    with pytest.raises(NotFoundError, match="no job nobody"):
        getattr(intake, verb)("nobody")


# -- retry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.ERROR])
def test_a_job_that_ended_badly_runs_again_with_a_new_ticket(
    intake: Intake, database: Database, redis_url: str, redis_client: Redis, status: JobStatus
) -> None:
    job_id = ended(database, status, max_attempts=1)
    push(redis_url, ticket(job_id))
    file_as_failed(redis_client, ticket(job_id))

    job = intake.retry(job_id)

    assert (job.status, job.max_attempts, job.finished_at) == ("queued", 2, None)
    assert moves_of(database, job_id)[-1] == (status.value, "queued")
    assert listed(redis_client) == [f"{job_id}-2"]
    assert in_failed_registry(redis_client) == []
    assert try_claim(database, job_id, seq=2) is not None


def test_a_waiting_job_runs_now(intake: Intake, database: Database, redis_client: Redis) -> None:
    job_id = waiting(database, wait_s=3_600)

    job = intake.retry(job_id)

    assert (job.status, job.next_attempt_at) == ("queued", None)
    assert listed(redis_client) == [f"{job_id}-2"]
    assert moves_of(database, job_id)[-1] == ("processing", "queued")


def test_a_job_for_later_runs_now(intake: Intake, database: Database, redis_client: Redis) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)
    job_id = intake.submit(_submission(run_at=run_at)).job.id

    intake.retry(job_id)

    assert listed(redis_client) == [f"{job_id}-2"]


def test_a_retry_while_redis_is_down_is_due(cut_off: Intake, database: Database) -> None:
    first, second = ended(database, JobStatus.FAILED), ended(database, JobStatus.ERROR)

    cut_off.retry(first)
    cut_off.retry(second)

    for job_id in (first, second):
        row = row_of(database, job_id)
        assert (row.status, row.seq, row.dispatched_at) == ("queued", 2, EPOCH)


def test_what_runs_or_waits_for_a_worker_or_is_final_is_not_retried(
    intake: Intake, database: Database
) -> None:
    for job_id in (
        add_job(database),
        claimed(database).job_id,
        completed(database),
        cancelled(database),
    ):
        with pytest.raises(IllegalTransitionError):
            intake.retry(job_id)
