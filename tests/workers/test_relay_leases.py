"""Leases that ran out and jobs that waited too long, with a clock that the test moves."""

import logging

import pytest
from redis import Redis
from sqlalchemy import Connection

from app.store import schema as tables
from app.store.database import Database, sql_time
from tests.factories import (
    add_job,
    attempts_of,
    claimed,
    moves_of,
    notifications_of,
    row_of,
    ticket,
)
from tests.relays import (
    push,
    relay_of,
    ttl_s,
)

# -- leases -----------------------------------------------------------------------------------


def test_an_expired_lease_is_a_counted_failure_and_a_waiting_retry(
    database: Database, redis_url: str
) -> None:
    job_id = claimed(database).job_id

    relay_of(database, redis_url, at_s=29).tick()
    assert row_of(database, job_id).status == "processing"
    relay_of(database, redis_url, at_s=31).tick()

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.error_code) == ("queued", 1, "worker_lost")
    with database.shifted(31).read() as connection:
        wait_s = (row.available_at - sql_time(connection)).total_seconds()
    assert 0 < wait_s < 2
    assert attempts_of(database, job_id)[0].error_code == "worker_lost"
    assert notifications_of(database, job_id) == []


def test_a_job_that_kills_its_workers_ends(database: Database, redis_url: str) -> None:
    job_id = claimed(database, add_job(database, max_attempts=1)).job_id

    relay_of(database, redis_url, at_s=31).tick()

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.error_code) == ("error", 1, "worker_lost")
    assert moves_of(database, job_id)[-1] == ("processing", "error")
    (body,) = notifications_of(database, job_id)
    assert body["message_type"] == "llm_failure"
    assert body["content"]["error_code"] == "worker_lost"


def test_a_lease_that_is_extended_is_left_alone(database: Database, redis_url: str) -> None:
    from app.store.claims import extend_lease

    claim = claimed(database)
    with database.shifted(25).begin() as connection:
        extend_lease(connection, claim.job_id, claim.token, 30)

    relay_of(database, redis_url, at_s=50).tick()

    assert row_of(database, claim.job_id).status == "processing"


def test_after_an_outage_leases_rest_until_workers_could_extend_them(
    database: Database, redis_url: str
) -> None:
    job_id = claimed(database).job_id
    relay = relay_of(database, redis_url)
    relay._database = database.shifted(100)  # nothing ticked for 100 s

    relay.tick()
    assert row_of(database, job_id).status == "processing"
    for at_s in (104, 108, 112, 116, 120, 124, 128):
        relay._database = database.shifted(at_s)
        relay.tick()
        assert row_of(database, job_id).status == "processing"
    relay._database = database.shifted(131)
    relay.tick()
    assert row_of(database, job_id).error_code == "worker_lost"


def test_an_outage_within_the_rest_begins_the_rest_again(
    database: Database, redis_url: str
) -> None:
    job_id = claimed(database).job_id
    relay = relay_of(database, redis_url)
    for at_s in (100, 129):
        relay._database = database.shifted(at_s)
        relay.tick()
    relay._database = database.shifted(133)
    relay.tick()

    assert row_of(database, job_id).status == "processing"


def test_one_bad_row_does_not_stop_a_tick(
    database: Database, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = claimed(database).job_id, claimed(database).job_id
    due = add_job(database, dispatched=False)
    with database.begin() as connection:
        # The attempt has ended already, says the log: the database refuses a second end.
        _end_twice(connection, bad)

    with caplog.at_level(logging.ERROR):
        assert relay_of(database, redis_url, at_s=31).tick()

    assert row_of(database, bad).status == "processing"
    assert row_of(database, good).error_code == "worker_lost"
    assert row_of(database, due).seq == 2
    assert [record.job_id for record in caplog.records] == [bad]  # type: ignore[attr-defined]  # extra


def _end_twice(connection: Connection, job_id: str) -> None:
    connection.execute(
        tables.job_transitions.insert().values(
            job_id=job_id,
            attempt=1,
            from_status="processing",
            to_status="queued",
            at=sql_time(connection),
            actor="test",
        )
    )


# -- expiry -----------------------------------------------------------------------------------


def test_a_job_that_waited_too_long_ends_expired_and_tells_its_user(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id, other = add_job(database, ttl_s=60), add_job(database)
    push(redis_url, ticket(job_id))

    relay_of(database, redis_url, at_s=59).tick()
    assert row_of(database, job_id).status == "queued"
    relay_of(database, redis_url, at_s=61).tick()

    row = row_of(database, job_id)
    assert (row.status, row.error_code) == ("error", "expired")
    assert moves_of(database, job_id)[-1] == ("queued", "error")
    (body,) = notifications_of(database, job_id)
    assert body["content"]["error_code"] == "expired"
    assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300
    assert row_of(database, other).status == "queued"


def test_a_running_job_does_not_expire(database: Database, redis_url: str) -> None:
    job_id = claimed(database, add_job(database, ttl_s=20)).job_id

    relay_of(database, redis_url, at_s=25).tick()

    assert row_of(database, job_id).status == "processing"
