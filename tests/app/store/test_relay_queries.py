"""The relay's statements by themselves; tests/workers/test_relay.py shows them at work."""

import threading
from datetime import timedelta

import pytest

from app.jobs.status import JobStatus
from app.store import relay
from app.store.database import EPOCH, Database, sql_time
from tests.factories import (
    PROBLEM,
    QUEUE,
    add_job,
    add_jobs,
    cancelled,
    claimed,
    completed,
    ended,
    row_of,
    set_columns,
    ticket,
    waiting,
)


def test_due_jobs_come_oldest_first_and_no_more_than_the_slice(database: Database) -> None:
    with database.read() as connection:
        now = sql_time(connection)
    job_ids = add_jobs(database, 4, run_at=now - timedelta(seconds=1))
    for age_s, job_id in enumerate(job_ids):
        set_columns(
            database,
            [job_id],
            dispatched_at=EPOCH,
            available_at=now - timedelta(seconds=100 - age_s),
        )

    with database.begin() as connection:
        taken = relay.take_due(connection, 3)

    assert taken == [ticket(job_id, seq=2) for job_id in job_ids[:3]]
    assert row_of(database, job_ids[3]).seq == 1


def test_what_one_relay_has_taken_another_does_not_take(postgres_url: str) -> None:
    from app.store.database import open_database

    database = open_database(postgres_url)
    add_jobs(database, 4)
    with database.begin() as connection:
        set_columns_on = relay.take_wiped(connection, sql_time(connection), 2)
        other: list[object] = []

        def take() -> None:
            with database.begin() as second:
                other.extend(relay.take_wiped(second, sql_time(second), 10))

        thread = threading.Thread(target=take)
        thread.start()
        thread.join(timeout=10)
        assert not thread.is_alive(), "the second relay waited for the first one's rows"

    assert len(set_columns_on) == 2
    assert len(other) == 2
    database.forget_connections()


def test_a_watermark_is_the_dispatch_of_the_first_valid_ticket(database: Database) -> None:
    first, second = add_job(database), add_job(database)
    void = [
        "nonsense",
        f"{cancelled(database)}-1",
        f"{claimed(database).job_id}-1",
        f"{waiting(database)}-1",
        f"{first}-9",
    ]

    with database.read() as connection:
        mark = relay.watermark(connection, [*void, f"{second}-1", f"{first}-1"])
        none = relay.watermark(connection, void)
        nonsense = relay.watermark(connection, ["nonsense"])
        empty = relay.watermark(connection, [])
        now = sql_time(connection)

    assert mark == row_of(database, second).dispatched_at
    assert (none, nonsense) == (None, None)
    assert empty is not None
    assert abs((now - empty).total_seconds()) < 5


def test_lists_without_queued_tickets_are_not_asked_about(database: Database) -> None:
    add_job(database, queue="b")
    add_job(database, queue="a", dispatched=False)
    completed(database, queue="c")

    with database.read() as connection:
        assert relay.lists_with_tickets(connection, ["a", "b", "c", "d"]) == ["b"]


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_lost_worker_is_a_failure_of_the_attempt_that_held_the_job(
    database: Database, max_attempts: int
) -> None:
    claim = claimed(database, add_job(database, max_attempts=max_attempts))
    with database.shifted(31).begin() as connection:
        (row,) = relay.expired_leases(connection, 10)
        relay.take_back(connection, row, PROBLEM, 4.0)

    row = row_of(database, claim.job_id)
    assert row.status == ("error" if max_attempts == 1 else "queued")
    assert (row.failures, row.attempts) == (1, 1)


def test_void_tickets_are_those_that_sql_has_no_use_for(database: Database) -> None:
    kept = [
        add_job(database),
        waiting(database),
        claimed(database).job_id,
        ended(database, JobStatus.FAILED),
        ended(database, JobStatus.ERROR),
    ]
    void = [completed(database), cancelled(database), "nobody"]
    rq_ids = [f"{job_id}-1" for job_id in [*kept, *void]] + [f"{kept[0]}-2", "nonsense"]

    with database.shifted(61).read() as connection:
        found = relay.void_tickets(connection, QUEUE, rq_ids, 60)
        assert relay.void_tickets(connection, QUEUE, ["nonsense"], 60) == []

    assert {(one.job_id, one.seq) for one in found} == {
        *((job_id, 1) for job_id in void),
        (kept[0], 2),
    }
    assert {one.list_name for one in found} == {QUEUE}
    with database.read() as connection:
        recent = relay.void_tickets(connection, QUEUE, rq_ids, 60)
    assert [one.job_id for one in recent] == ["nobody"]
