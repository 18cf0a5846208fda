import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.jobs.status import JobStatus
from app.store import claims, control, outcomes, relay
from app.store.database import EPOCH, Database, sql_time
from app.store.outcomes import Report
from tests.factories import (
    ENQUEUED_AT,
    LATER,
    PROBLEM,
    add_job,
    attempts_of,
    cancelled,
    claimed,
    completed,
    ended,
    fail,
    moves_of,
    row_of,
    try_claim,
    waiting,
)


def test_a_claim_starts_an_attempt_with_a_lease(database: Database) -> None:
    job_id = add_job(database, payload={"query": "hi"}, user_id=12, max_attempts=3)

    claim = try_claim(database, job_id, token="t", worker="w")

    assert claim is not None
    assert (claim.job_id, claim.token, claim.worker) == (job_id, "t", "w")
    assert (claim.job_type, claim.payload, claim.user_id) == (
        "intent_classify",
        {"query": "hi"},
        12,
    )
    assert (claim.seq, claim.attempt, claim.failures, claim.max_attempts) == (1, 1, 0, 3)
    row = row_of(database, job_id)
    assert (row.status, row.locked_by, row.attempts) == ("processing", "t", 1)
    with database.read() as connection:
        left_s = (row.lease_until - sql_time(connection)).total_seconds()
    assert 20 < left_s <= 30
    assert moves_of(database, job_id) == [(None, "queued"), ("queued", "processing")]
    (attempt,) = attempts_of(database, job_id)
    assert (attempt.attempt, attempt.seq, attempt.worker) == (1, 1, "w")
    assert attempt.enqueued_at == ENQUEUED_AT
    assert attempt.finished_at is None


def test_of_many_workers_with_the_same_ticket_one_wins(database: Database) -> None:
    job_id = add_job(database)
    together = threading.Barrier(8)

    def race(number: int) -> claims.Claim | None:
        together.wait(timeout=10)
        return try_claim(database, job_id, token=f"token-{number}")

    with ThreadPoolExecutor(8) as pool:
        won = [claim for claim in pool.map(race, range(8)) if claim]

    assert len(won) == 1
    assert row_of(database, job_id).locked_by == won[0].token
    assert len(attempts_of(database, job_id)) == 1


def test_of_many_deliveries_of_a_requeued_ticket_one_wins(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED)
    together = threading.Barrier(6)

    def race(_: int) -> claims.Claim | None:
        together.wait(timeout=10)
        return try_claim(database, job_id, enqueued_at=LATER)

    with ThreadPoolExecutor(6) as pool:
        won = [claim for claim in pool.map(race, range(6)) if claim]

    assert len(won) == 1
    assert row_of(database, job_id).attempts == 2


@pytest.mark.parametrize("seq", [0, 2, 99])
def test_a_ticket_of_another_generation_is_void(database: Database, seq: int) -> None:
    job_id = add_job(database)

    assert try_claim(database, job_id, seq=seq) is None
    assert row_of(database, job_id).status == "queued"


def test_a_ticket_of_no_job_is_void(database: Database) -> None:
    assert try_claim(database, "nobody") is None


def test_the_old_ticket_is_void_once_a_newer_one_was_made(database: Database) -> None:
    job_id = add_job(database, dispatched=False)
    with database.begin() as connection:
        (ticket,) = relay.take_due(connection, 10)

    assert try_claim(database, job_id, seq=1) is None
    assert try_claim(database, job_id, seq=ticket.seq) is not None


def test_a_job_that_waited_too_long_is_not_started(database: Database) -> None:
    job_id = add_job(database, ttl_s=60)

    assert try_claim(database.shifted(61), job_id) is None
    assert row_of(database, job_id).status == "queued"
    assert try_claim(database.shifted(59), job_id) is not None


def test_the_ticket_of_an_expired_job_that_still_lies_in_its_list_is_void(
    database: Database,
) -> None:
    job_id = add_job(database, ttl_s=60)
    late = database.shifted(61)
    with late.begin() as connection:
        (row,) = relay.overdue(connection, 10)
        relay.expire(connection, row)

    assert row_of(database, job_id).status == "error"
    assert try_claim(late, job_id, enqueued_at=LATER) is None
    assert moves_of(database, job_id)[-1] == ("queued", "error")


def test_a_job_that_has_never_been_dispatched_cannot_be_claimed(database: Database) -> None:
    job_id = add_job(database, dispatched=False)

    assert try_claim(database, job_id) is None


def test_a_waiting_retry_is_not_started_by_its_old_ticket(database: Database) -> None:
    job_id = waiting(database)

    assert try_claim(database, job_id, enqueued_at=ENQUEUED_AT) is None
    assert try_claim(database, job_id, enqueued_at=None) is None
    assert row_of(database, job_id).status == "queued"


def test_a_waiting_retry_whose_ticket_a_person_requeued_starts_now(database: Database) -> None:
    job_id = waiting(database, wait_s=1000)

    claim = try_claim(database, job_id, enqueued_at=LATER)

    assert claim is not None
    assert (claim.attempt, claim.failures) == (2, 1)
    # Queued to queued is no transition: there is nothing to write but the start.
    assert moves_of(database, job_id)[-2:] == [("processing", "queued"), ("queued", "processing")]


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.ERROR])
def test_a_job_that_ended_badly_starts_again_when_its_ticket_is_requeued(
    database: Database, status: JobStatus
) -> None:
    job_id = ended(database, status, max_attempts=1)

    claim = try_claim(database, job_id, enqueued_at=LATER)

    assert claim is not None
    assert moves_of(database, job_id)[-2:] == [
        (status.value, "queued"),
        ("queued", "processing"),
    ]
    assert (claim.failures, claim.max_attempts) == (1, 2)
    row = row_of(database, job_id)
    assert row.finished_at is None
    assert row.dispatched_at > EPOCH


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.ERROR])
def test_a_job_that_ended_badly_is_not_started_by_a_ticket_that_nobody_requeued(
    database: Database, status: JobStatus
) -> None:
    job_id = ended(database, status)

    assert try_claim(database, job_id, enqueued_at=ENQUEUED_AT) is None
    assert try_claim(database, job_id, enqueued_at="") is None
    assert try_claim(database, job_id, seq=2, enqueued_at=LATER) is None
    assert row_of(database, job_id).status == status.value


def test_requeueing_keeps_the_failures_that_are_left(database: Database) -> None:
    job_id = ended(database, JobStatus.ERROR, max_attempts=5)

    claim = try_claim(database, job_id, enqueued_at=LATER)

    assert claim is not None
    assert (claim.failures, claim.max_attempts) == (1, 5)


def test_a_requeued_ticket_that_rq_delivers_twice_starts_one_attempt(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED)
    again = claimed(database, job_id, enqueued_at=LATER)

    assert try_claim(database, job_id, enqueued_at=LATER) is None
    fail(database, again)
    assert try_claim(database, job_id, enqueued_at=LATER) is None
    assert row_of(database, job_id).attempts == 2


def test_requeueing_begins_the_run_of_deferrals_again(database: Database) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        outcomes.defer(connection, claim, PROBLEM, Report(), 60)

    again = claimed(database, claim.job_id, enqueued_at=LATER)

    assert (again.deferrals, again.deferred_since) == (0, None)


def test_a_requeued_job_no_longer_expires(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED, ttl_s=60)
    late = database.shifted(100)

    assert try_claim(late, job_id, enqueued_at=LATER) is not None
    assert row_of(database, job_id).expires_at is None


@pytest.mark.parametrize("enqueued_at", [ENQUEUED_AT, LATER])
def test_a_completed_or_cancelled_job_never_starts_again(
    database: Database, enqueued_at: str
) -> None:
    for job_id in (completed(database), cancelled(database)):
        status = row_of(database, job_id).status
        assert try_claim(database, job_id, enqueued_at=enqueued_at) is None
        assert row_of(database, job_id).status == status


def test_a_job_cancelled_in_mid_attempt_never_starts_again(database: Database) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        control.cancel(connection, control.locked(connection, claim.job_id), "api")

    assert try_claim(database, claim.job_id, enqueued_at=LATER) is None


def test_a_running_job_is_not_started_by_a_requeued_ticket(database: Database) -> None:
    claim = claimed(database)

    assert try_claim(database, claim.job_id, enqueued_at=LATER) is None


def test_after_a_commit_of_unknown_outcome_the_token_tells_whether_the_job_is_mine(
    database: Database,
) -> None:
    claim = claimed(database, token="mine")

    with database.read() as connection:
        found = claims.find_claim(connection, claim.job_id, "mine", "worker-1")
        foreign = claims.find_claim(connection, claim.job_id, "other", "worker-1")

    assert found == claim
    assert foreign is None


def test_a_lease_is_extended_by_its_token_only(database: Database) -> None:
    claim = claimed(database, token="mine")
    before = row_of(database, claim.job_id).lease_until
    late = database.shifted(20)

    with late.begin() as connection:
        assert not claims.extend_lease(connection, claim.job_id, "other", 30)
    assert row_of(database, claim.job_id).lease_until == before
    with late.begin() as connection:
        assert claims.extend_lease(connection, claim.job_id, "mine", 30)
    assert row_of(database, claim.job_id).lease_until - before >= timedelta(seconds=19)


def test_a_lease_is_ended_by_its_token_only(database: Database) -> None:
    claim = claimed(database, token="mine")

    with database.begin() as connection:
        assert not claims.end_lease(connection, claim.job_id, "other")
        assert relay.expired_leases(connection, 10) == []
        assert claims.end_lease(connection, claim.job_id, "mine")
        (expired,) = relay.expired_leases(connection, 10)
    assert expired.id == claim.job_id


def test_a_lease_that_is_gone_can_be_neither_extended_nor_ended(database: Database) -> None:
    claim = claimed(database, token="mine")
    with database.begin() as connection:
        outcomes.retry_later(connection, claim, PROBLEM, Report(), 5)

        assert not claims.extend_lease(connection, claim.job_id, "mine", 30)
        assert not claims.end_lease(connection, claim.job_id, "mine")
    assert row_of(database, claim.job_id).lease_until is None


def test_attempts_only_grow(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED)
    numbers = [1]
    for minute in range(3):
        again = claimed(database, job_id, enqueued_at=f"2026-01-02T05:0{minute}:00+00:00")
        numbers.append(again.attempt)
        fail(database, again)

    assert numbers == [1, 2, 3, 4]
