"""What a PATCH may do: workers outside this project, through the same state machine."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from app.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidInputError,
    NotFoundError,
    StaleAttemptError,
)
from app.external import Change
from app.intake import Intake
from app.jobs.status import JobStatus
from app.settings import Settings
from app.store.database import Database
from app.store.rows import JobRow
from tests.factories import (
    LATER,
    add_job,
    attempts_of,
    cancelled,
    claimed,
    completed,
    ended,
    moves_of,
    notifications_of,
    row_of,
    ticket,
    try_claim,
    waiting,
)
from tests.relays import dispatcher_of, push, relay_of, ttl_s

Patch = Callable[..., JobRow]


@pytest.fixture
def patch(database: Database, redis_url: str, make_settings: Callable[..., Settings]) -> Patch:
    """PATCH a job: ``patch(job_id, "processing", attempt=1)``."""
    intake = Intake(database, dispatcher_of(redis_url), make_settings(QUEUE_JOB_TIMEOUT=100))

    def change(job_id: str, status: str | None, **fields: Any) -> JobRow:
        return intake.change(job_id, Change(status, **fields))

    return change


@pytest.fixture
def held(database: Database, patch: Patch) -> str:
    """A job that a PATCH has claimed."""
    return patch(add_job(database), "processing").id


def test_processing_claims_a_queued_job_for_the_job_time_out(
    database: Database, redis_url: str, redis_client: Redis, patch: Patch
) -> None:
    job_id = add_job(database)
    push(redis_url, ticket(job_id))

    job = patch(job_id, "processing")

    assert (job.status, job.attempts) == ("processing", 1)
    row = row_of(database, job_id)
    assert (row.lease_until - row.started_at).total_seconds() == pytest.approx(100, abs=1)
    assert [attempt.worker for attempt in attempts_of(database, job_id)] == ["api"]
    assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300


def test_the_ticket_of_a_job_that_a_patch_claimed_is_void(
    database: Database, patch: Patch, held: str
) -> None:
    assert try_claim(database, held) is None
    patch(held, "queued")
    assert try_claim(database, held, enqueued_at=LATER) is None


def test_an_external_worker_completes_its_job_with_a_notification(
    database: Database, patch: Patch, held: str
) -> None:
    job = patch(held, "completed", result={"intent": "note"}, attempt=1)

    assert (job.status, job.result) == ("completed", {"intent": "note"})
    assert moves_of(database, held)[-1] == ("processing", "completed")
    assert [body["message_type"] for body in notifications_of(database, held)] == [
        "llm_intent_result"
    ]


def test_completing_without_a_result_tells_nobody(
    database: Database, patch: Patch, held: str
) -> None:
    assert patch(held, "completed").result is None
    assert notifications_of(database, held) == []


def test_a_job_of_a_type_that_is_gone_can_still_be_completed(
    database: Database, patch: Patch
) -> None:
    job_id = add_job(database, job_type="retired_type")
    patch(job_id, "processing")

    assert patch(job_id, "completed", result={}).status == "completed"
    assert notifications_of(database, job_id) == []


@pytest.mark.parametrize("status", ["failed", "error"])
def test_an_external_worker_ends_its_job_badly(
    database: Database, patch: Patch, held: str, status: str
) -> None:
    job = patch(held, status, error_message="no \x00 luck")

    assert (job.status, job.failures) == (status, 1)
    assert (job.error_code, job.error_message) == ("external_failure", "no \ufffd luck")
    (body,) = notifications_of(database, held)
    assert body["message_type"] == "llm_failure"


def test_an_end_without_words_gets_some(patch: Patch, held: str) -> None:
    assert "without saying why" in str(patch(held, "failed").error_message)


def test_an_external_worker_may_cancel_its_job(database: Database, patch: Patch, held: str) -> None:
    assert patch(held, "cancelled").status == "cancelled"
    assert moves_of(database, held)[-1] == ("processing", "cancelled")


def test_an_external_worker_may_give_its_job_back(
    database: Database, redis_url: str, patch: Patch, held: str
) -> None:
    job = patch(held, "queued")

    assert (job.status, job.failures) == ("queued", 0)
    relay_of(database, redis_url).tick()
    assert try_claim(database, held, seq=row_of(database, held).seq) is not None


def test_a_repeated_processing_renews_the_lease(
    database: Database, redis_url: str, make_settings: Callable[..., Settings], held: str
) -> None:
    before = row_of(database, held).lease_until
    late = Intake(
        database.shifted(60), dispatcher_of(redis_url), make_settings(QUEUE_JOB_TIMEOUT=100)
    )

    job = late.change(held, Change("processing", attempt=1))

    assert job.attempts == 1
    assert (row_of(database, held).lease_until - before).total_seconds() >= 59
    assert moves_of(database, held)[-1] == ("queued", "processing")


def test_past_its_lease_the_job_is_queued_again(
    database: Database, redis_url: str, held: str
) -> None:
    relay_of(database, redis_url, at_s=99).tick()
    assert row_of(database, held).status == "processing"
    relay_of(database, redis_url, at_s=101).tick()
    assert (row_of(database, held).status, row_of(database, held).failures) == ("queued", 1)


def test_a_stale_attempt_is_a_conflict(database: Database, patch: Patch, held: str) -> None:
    patch(held, "queued")
    patch(held, "processing")

    with pytest.raises(StaleAttemptError, match="Attempt 1 is not the job's newest, which is 2"):
        patch(held, "completed", result={}, attempt=1)
    assert patch(held, "completed", result={}, attempt=2).status == "completed"


@pytest.mark.parametrize("status", [status for status in JobStatus if status != "processing"])
def test_a_job_is_changed_only_after_processing_claimed_it(
    database: Database, patch: Patch, status: JobStatus
) -> None:
    with pytest.raises(IllegalTransitionError, match="The job is queued") as caught:
        patch(add_job(database), status.value)
    assert caught.value.extra["legal"] == ["cancelled", "error", "processing"]


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_that_one_of_our_workers_runs_is_out_of_reach(
    database: Database, patch: Patch, status: JobStatus
) -> None:
    claim = claimed(database)

    with pytest.raises(IllegalTransitionError) as caught:
        patch(claim.job_id, status.value, result={})
    assert "completed" in caught.value.extra["legal"]
    assert row_of(database, claim.job_id).locked_by == claim.token


@pytest.mark.parametrize("status", list(JobStatus))
def test_a_job_that_has_ended_is_out_of_reach(
    database: Database, patch: Patch, status: JobStatus
) -> None:
    for job_id, legal in (
        (completed(database), []),
        (cancelled(database), []),
        (ended(database, JobStatus.FAILED), ["queued"]),
        (ended(database, JobStatus.ERROR), ["queued"]),
    ):
        with pytest.raises(IllegalTransitionError) as caught:
            patch(job_id, status.value)
        assert caught.value.extra["legal"] == legal


def test_a_job_that_waits_for_its_time_cannot_be_claimed_yet(
    database: Database, patch: Patch
) -> None:
    job_id = waiting(database, wait_s=3_600)

    with pytest.raises(ConflictError, match="waits until"):
        patch(job_id, "processing")
    assert row_of(database, job_id).status == "queued"


def test_a_job_that_waited_too_long_cannot_be_claimed(
    database: Database, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    job_id = add_job(database, ttl_s=60)
    late = Intake(database.shifted(61), dispatcher_of(redis_url), make_settings())

    with pytest.raises(ConflictError, match="QUEUE_JOB_TTL"):
        late.change(job_id, Change("processing"))


@pytest.mark.parametrize("status", [None, "done", "", "QUEUED", "que\x00ued"])
def test_a_status_that_does_not_exist_is_refused_with_those_that_do(
    patch: Patch, held: str, status: str | None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        patch(held, status)
    assert caught.value.extra["errors"][0]["loc"] == "status"


@pytest.mark.parametrize("result", [[], "text", 5, True])
def test_a_result_is_an_object(patch: Patch, held: str, result: Any) -> None:
    with pytest.raises(InvalidInputError, match="JSON object"):
        patch(held, "completed", result=result)


def test_a_job_that_does_not_exist_is_not_found(patch: Patch) -> None:
    with pytest.raises(NotFoundError):
        patch("nobody", "processing")
