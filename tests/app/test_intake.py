"""The one way in, on real databases and a real Redis, also while that Redis is down."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from app.errors import (
    DatabaseUnavailableError,
    IdempotencyConflictError,
    InvalidInputError,
    UnknownJobTypeError,
)
from app.intake import Intake, Refused
from app.store.database import EPOCH, Database, sql_time
from app.submission import Submission
from tests.factories import (
    row_of,
    try_claim,
)
from tests.relays import (
    listed,
    relay_of,
)

QUERY = {"query": "hello"}


def _submission(**fields: Any) -> Submission:
    return Submission(**({"job_type": "intent_classify", "payload": QUERY} | fields))


# -- submit -----------------------------------------------------------------------------------


def test_a_submitted_job_is_stored_and_its_ticket_pushed(
    intake: Intake, database: Database, redis_client: Redis
) -> None:
    accepted = intake.submit(_submission(user_id=7, priority="low"))

    assert accepted.created
    assert (accepted.job.status, accepted.job.queue) == ("queued", "llm_intent-low")
    assert listed(redis_client, "llm_intent-low") == [f"{accepted.job.id}-1"]
    assert try_claim(database, accepted.job.id) is not None


def test_a_job_is_accepted_while_redis_is_down_and_is_due(
    cut_off: Intake, database: Database, redis_url: str, redis_client: Redis
) -> None:
    first, second = cut_off.submit(_submission()), cut_off.submit(_submission())

    for accepted in (first, second):
        assert accepted.created
        assert row_of(database, accepted.job.id).dispatched_at == EPOCH
    relay_of(database, redis_url).tick()
    assert len(listed(redis_client)) == 2


def test_after_a_failed_push_the_next_jobs_do_not_wait_for_redis(cut_off: Intake) -> None:
    cut_off.submit(_submission())

    started = time.monotonic()
    cut_off.submit(_submission())
    assert time.monotonic() - started < 0.5


def test_a_job_for_later_is_not_pushed(
    intake: Intake, database: Database, redis_client: Redis
) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)

    accepted = intake.submit(_submission(run_at=run_at))

    assert listed(redis_client) == []
    assert accepted.job.next_attempt_at == run_at


def test_a_repeated_request_gives_the_first_job_and_pushes_nothing(
    intake: Intake, redis_client: Redis
) -> None:
    first = intake.submit(_submission(idempotency_key="k"))
    again = intake.submit(_submission(idempotency_key="k"))

    assert (again.job.id, again.created) == (first.job.id, False)
    assert listed(redis_client) == [f"{first.job.id}-1"]


def test_a_key_reused_with_another_body_is_a_conflict(intake: Intake, redis_client: Redis) -> None:
    intake.submit(_submission(idempotency_key="k"))

    with pytest.raises(IdempotencyConflictError, match="This Idempotency-Key was used before"):
        intake.submit(_submission(idempotency_key="k", payload={"query": "other"}))
    assert len(listed(redis_client)) == 1


def test_an_id_reused_with_another_body_is_a_conflict(intake: Intake) -> None:
    intake.submit(_submission(job_id="given"))

    assert not intake.submit(_submission(job_id="given")).created
    with pytest.raises(IdempotencyConflictError, match="This job id was used before"):
        intake.submit(_submission(job_id="given", payload={"query": "other"}))


def test_a_refused_job_leaves_nothing(intake: Intake, redis_client: Redis) -> None:
    with pytest.raises(InvalidInputError):
        intake.submit(_submission(payload={}))
    with pytest.raises(UnknownJobTypeError):
        intake.submit(_submission(job_type="nothing"))
    assert listed(redis_client) == []


def test_settings_give_the_default_of_attempts_and_the_time_to_live(
    database: Database, redis_url: str, make_intake: Callable[..., Intake]
) -> None:
    intake = make_intake(database, redis_url, LLM_MAX_RETRIES=3, QUEUE_JOB_TTL=60)

    row = row_of(database, intake.submit(_submission()).job.id)

    assert row.max_attempts == 3
    assert row.expires_at == row.available_at + timedelta(seconds=60)


def test_many_clients_with_one_key_get_one_job(intake: Intake, redis_client: Redis) -> None:
    together = threading.Barrier(6)

    def submit(_: int) -> str:
        together.wait(timeout=10)
        return intake.submit(_submission(idempotency_key="k")).job.id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(submit, range(6)))

    assert len(ids) == 1
    assert len(listed(redis_client)) == 1


def test_a_database_that_goes_away_after_the_commit_does_not_refuse_the_job(
    cut_off: Intake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailableError("away")

    monkeypatch.setattr("app.intake.submissions.mark_not_dispatched", away)
    accepted = cut_off.submit(_submission())

    assert row_of(database, accepted.job.id).status == "queued"


# -- batches ----------------------------------------------------------------------------------


def test_a_batch_refuses_its_wrong_entries_alone(intake: Intake, redis_client: Redis) -> None:
    outcome = intake.submit_many(
        [
            _submission(),
            _submission(payload={}),
            Refused(0, "bad_request", "not JSON"),
            _submission(job_type="nothing"),
            _submission(),
        ]
    )

    assert outcome.accepted == 2
    assert [(error.index, error.code) for error in outcome.errors] == [
        (1, "invalid_input"),
        (2, "bad_request"),
        (3, "unknown_job_type"),
    ]
    assert "query" in outcome.errors[0].detail
    assert listed(redis_client) == [f"{job_id}-1" for job_id in outcome.job_ids]


def test_a_batch_that_repeats_itself_stores_each_job_once(
    intake: Intake, redis_client: Redis
) -> None:
    outcome = intake.submit_many(
        [
            _submission(idempotency_key="k"),
            _submission(idempotency_key="k"),
            _submission(idempotency_key="k", payload={"query": "other"}),
            _submission(job_id="given"),
            _submission(job_id="given"),
            _submission(job_id="given", payload={"query": "other"}),
        ]
    )

    first, again, given, given_again = outcome.job_ids
    assert (first, given) == (again, given_again)
    assert [(error.index, error.code) for error in outcome.errors] == [
        (2, "idempotency_key_reused"),
        (5, "idempotency_key_reused"),
    ]
    assert listed(redis_client) == [f"{first}-1", "given-1"]


def test_a_batch_is_stored_in_slices_with_right_indexes(
    intake: Intake, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.intake.BATCH_SLICE", 3)
    entries: list[Submission | Refused] = [_submission() for _ in range(8)]
    entries[4] = _submission(payload={})
    entries[7] = Refused(0, "bad_request", "not JSON")

    outcome = intake.submit_many(entries)

    assert outcome.accepted == 6
    assert [error.index for error in outcome.errors] == [4, 7]
    assert len(listed(redis_client)) == 6


def test_an_empty_batch_is_accepted(intake: Intake) -> None:
    assert intake.submit_many([]).accepted == 0


def test_a_batch_is_accepted_while_redis_is_down(cut_off: Intake, database: Database) -> None:
    outcome = cut_off.submit_many([_submission() for _ in range(3)])

    assert outcome.accepted == 3
    assert {row_of(database, job_id).dispatched_at for job_id in outcome.job_ids} == {EPOCH}
