from datetime import timedelta

import pytest

from app.jobs.status import JobStatus
from app.store import job_queries, relay_state
from app.store.database import Database, sql_time
from app.store.job_queries import Count, WaitingCount
from app.store.rows import JobRow
from tests.factories import (
    add_job,
    add_jobs,
    cancelled,
    claimed,
    completed,
    ended,
    row_of,
    set_columns,
    waiting,
)


def _get(database: Database, job_id: str) -> JobRow:
    with database.read() as connection:
        job = job_queries.get(connection, job_id)
    assert job is not None
    return job


def _list(database: Database, **filters: object) -> list[str]:
    with database.read() as connection:
        return [job.id for job in job_queries.list_newest(connection, **filters)]  # type: ignore[arg-type]  # passed through


def test_a_job_that_does_not_exist_is_none(database: Database) -> None:
    with database.read() as connection:
        assert job_queries.get(connection, "nobody") is None


def test_a_job_comes_back_as_it_was_submitted(database: Database) -> None:
    payload = {"query": "ü\x00", "deep": [{"a": None}]}
    job_id = add_job(database, payload=payload, metadata={"k": [1.5]}, user_id=-(2**63))

    job = _get(database, job_id)

    assert (job.payload, job.metadata, job.user_id) == (payload, {"k": [1.5]}, -(2**63))
    assert (job.status, job.attempts, job.result) == (JobStatus.QUEUED, 0, None)
    assert job.created_at.utcoffset() == timedelta(0)


def test_next_attempt_is_told_while_a_job_waits_and_not_otherwise(database: Database) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)
    retry, later = waiting(database, wait_s=60), add_job(database, run_at=run_at)

    assert _get(database, retry).next_attempt_at == row_of(database, retry).available_at
    assert _get(database, later).next_attempt_at == run_at
    for job_id in (
        add_job(database),
        add_job(database, dispatched=False),
        claimed(database).job_id,
        completed(database),
        ended(database, JobStatus.FAILED),
    ):
        assert _get(database, job_id).next_attempt_at is None


def test_jobs_are_listed_newest_first_in_pages(database: Database) -> None:
    job_ids = [add_job(database) for _ in range(5)]

    assert _list(database) == job_ids[::-1]
    assert _list(database, limit=2, offset=1) == [job_ids[3], job_ids[2]]
    row = row_of(database, job_ids[2])
    assert _list(database, before=(row.created_at, row.id)) == [job_ids[1], job_ids[0]]


def test_jobs_of_the_same_instant_are_paged_by_id(database: Database) -> None:
    job_ids = sorted(add_jobs(database, 7))
    row = row_of(database, job_ids[0])
    set_columns(database, job_ids, created_at=row.created_at)

    seen: list[str] = []
    before = None
    while page := _list(database, limit=3, before=before):
        seen += page
        before = (row.created_at, page[-1])
    assert seen == job_ids[::-1]


def test_lists_are_filtered(database: Database) -> None:
    mine = add_job(database, user_id=1)
    done = completed(database, user_id=2)
    image = add_job(database, user_id=2, job_type="image_tag")

    assert _list(database, user_id=1) == [mine]
    assert _list(database, status="completed") == [done]
    assert _list(database, job_type="image_tag") == [image]
    assert _list(database, user_id=2, status="queued") == [image]
    assert _list(database, user_id=3) == []


def test_a_history_is_told_oldest_first(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED)

    with database.read() as connection:
        moves, attempts = job_queries.history(connection, job_id)

    assert [(move.source, move.target) for move in moves] == [
        (None, "queued"),
        ("queued", "processing"),
        ("processing", "failed"),
    ]
    assert [move.attempt for move in moves] == [0, 1, 1]
    assert [move.actor for move in moves] == ["api", "worker-1", "worker-1"]
    assert moves[-1].reason == "invalid_answer"
    (attempt,) = attempts
    assert (attempt.attempt, attempt.worker, attempt.outcome) == (1, "worker-1", "failed")
    assert attempt.error_code == "invalid_answer"
    with database.read() as connection:
        assert job_queries.history(connection, "nobody") == ([], [])


def test_counts_are_per_list_type_and_state(database: Database) -> None:
    waits = add_job(database)
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)
    add_job(database, run_at=run_at)
    completed(database)
    add_job(database, queue="llm_image_tag-high", job_type="image_tag")

    with database.read() as connection:
        counts = job_queries.counts(connection)

    high, done, queued = counts
    assert (high.queue, high.job_type, high.jobs) == ("llm_image_tag-high", "image_tag", 1)
    assert done == Count("llm_intent", "intent_classify", JobStatus.COMPLETED, 1, None)
    assert (queued.status, queued.jobs) == (JobStatus.QUEUED, 2)
    assert queued.oldest_available_at == row_of(database, waits).available_at


def test_what_failed_and_what_waits_for_its_time_is_counted_per_list(database: Database) -> None:
    ended(database, JobStatus.FAILED)
    ended(database, JobStatus.ERROR)
    waiting(database)
    add_job(database)
    cancelled(database)
    waiting(database, queue="llm_image_tag")

    with database.read() as connection:
        counts = job_queries.waiting_counts(connection)

    assert counts == {"llm_intent": WaitingCount(2, 1), "llm_image_tag": WaitingCount(0, 1)}


def test_the_age_of_the_last_tick_is_unknown_until_there_was_one(database: Database) -> None:
    with database.begin() as connection:
        assert job_queries.last_tick_age_s(connection) is None
        relay_state.finish_tick(connection)

    with database.shifted(10).read() as connection:
        assert job_queries.last_tick_age_s(connection) == pytest.approx(10, abs=1)


def test_a_relay_that_never_wrote_its_row_has_no_last_tick(database: Database) -> None:
    from app.store.schema import relay_state as table

    with database.begin() as connection:
        connection.execute(table.delete())
        assert job_queries.last_tick_age_s(connection) is None
