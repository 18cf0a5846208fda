"""Maintenance's tick on real databases and a real Redis, with a clock that the test moves."""

import pytest
from redis import Redis

from app.jobs.status import JobStatus
from app.store.database import EPOCH, Database, sql_time
from tests.factories import (
    QUEUE,
    add_job,
    add_jobs,
    cancelled,
    ended,
    row_of,
    set_columns,
    ticket,
    try_claim,
    waiting,
)
from tests.relays import (
    DEAD_URL,
    dispatcher_of,
    failed_registry,
    file_as_failed,
    in_failed_registry,
    listed,
    pop,
    push,
    relay_of,
    ttl_s,
)

# -- due --------------------------------------------------------------------------------------


def test_a_job_accepted_while_redis_was_down_is_pushed(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database, dispatched=False)

    assert relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-2"]
    row = row_of(database, job_id)
    assert row.seq == 2
    assert row.dispatched_at > EPOCH
    assert try_claim(database, job_id, seq=2) is not None


def test_a_waiting_retry_is_pushed_when_it_is_due_and_not_before(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = waiting(database, wait_s=20)

    relay_of(database, redis_url, at_s=18).tick()
    assert listed(redis_client) == []
    relay_of(database, redis_url, at_s=21).tick()
    assert listed(redis_client) == [f"{job_id}-2"]


def test_the_old_ticket_is_retired_when_its_retry_is_pushed(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = waiting(database, wait_s=1)
    push(redis_url, ticket(job_id))
    file_as_failed(redis_client, ticket(job_id))
    assert in_failed_registry(redis_client) == [f"{job_id}-1"]

    relay_of(database, redis_url, at_s=2).tick()

    assert in_failed_registry(redis_client) == []
    assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300
    assert listed(redis_client) == [f"{job_id}-2"]


def test_requeueing_everything_in_rq_goes_on_while_tickets_are_retired(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    first, second = waiting(database, wait_s=1), ended(database, JobStatus.FAILED)
    for job_id in (first, second):
        push(redis_url, ticket(job_id))
        file_as_failed(redis_client, ticket(job_id))
    registry = failed_registry(redis_client)
    ids_read_by_rq_before_the_tick = registry.get_job_ids(cleanup=False)
    relay_of(database, redis_url, at_s=2).tick()

    from rq.exceptions import InvalidJobOperation

    refused = []
    for rq_id in ids_read_by_rq_before_the_tick:
        try:
            registry.requeue(rq_id)
        except InvalidJobOperation:  # what `rq requeue` counts and goes on from
            refused.append(rq_id)

    assert refused == [f"{first}-1"]
    assert f"{second}-1" in listed(redis_client)


def test_many_due_jobs_are_pushed_in_slices_within_one_tick(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.SLICE", 10)
    monkeypatch.setattr("workers.relay.STEP_BUDGET_S", 30.0)
    job_ids = add_jobs(database, 35)
    set_columns(database, job_ids, dispatched_at=EPOCH)

    relay_of(database, redis_url).tick()

    assert sorted(listed(redis_client)) == sorted(f"{job_id}-2" for job_id in job_ids)


def test_what_redis_did_not_take_stays_due(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database, dispatched=False)

    assert relay_of(database, redis_url, dispatcher=dispatcher_of(DEAD_URL)).tick()
    row = row_of(database, job_id)
    assert (row.dispatched_at, row.seq) == (EPOCH, 2)

    relay_of(database, redis_url).tick()
    assert listed(redis_client) == [f"{job_id}-3"]


# -- lost tickets -----------------------------------------------------------------------------


def test_a_ticket_that_is_nowhere_is_made_again_after_a_minute(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database)

    relay_of(database, redis_url, at_s=55).tick()
    assert (listed(redis_client), row_of(database, job_id).seq) == ([], 1)
    relay_of(database, redis_url, at_s=65).tick()
    assert listed(redis_client) == [f"{job_id}-2"]


def test_a_backlog_is_not_taken_for_lost_tickets(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_ids = add_jobs(database, 5)
    push(redis_url, *(ticket(job_id) for job_id in job_ids))

    relay_of(database, redis_url, at_s=86_400).tick()

    assert listed(redis_client) == [f"{job_id}-1" for job_id in job_ids]


def test_only_what_is_much_older_than_the_lists_head_is_lost(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    old, recent, head = add_jobs(database, 3)
    with database.read() as connection:
        now = sql_time(connection)
    set_columns(database, [old], dispatched_at=now.replace(year=now.year - 1))
    set_columns(database.shifted(0), [head], dispatched_at=now)
    push(redis_url, ticket(head))

    relay_of(database, redis_url, at_s=3_600).tick()

    assert row_of(database, old).seq == 2
    # Dispatched within the margin of the head: it may have been popped a moment ago.
    assert (row_of(database, recent).seq, row_of(database, head).seq) == (1, 1)
    assert listed(redis_client) == [f"{head}-1", f"{old}-2"]


def test_void_tickets_at_a_lists_head_do_not_count(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    gone, valid = cancelled(database), add_job(database)
    push(redis_url, ticket(gone), ticket("nobody"), ticket(valid, seq=7), ticket(valid))

    relay_of(database, redis_url, at_s=3_600).tick()

    assert row_of(database, valid).seq == 1


def test_a_list_that_begins_with_a_hundred_void_tickets_is_left_alone(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database)
    push(redis_url, *(ticket(f"nobody-{number}") for number in range(100)), ticket(job_id))

    relay_of(database, redis_url, at_s=3_600).tick()
    assert row_of(database, job_id).seq == 1

    pop(redis_client)
    relay_of(database, redis_url, at_s=3_600).tick()
    assert row_of(database, job_id).seq == 1


def test_each_list_has_its_own_watermark(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    lost = add_job(database, priority="high", queue=f"{QUEUE}-high")
    kept = add_job(database)
    push(redis_url, ticket(kept))

    relay_of(database, redis_url, at_s=3_600).tick()

    assert listed(redis_client, f"{QUEUE}-high") == [f"{lost}-2"]
    assert listed(redis_client) == [f"{kept}-1"]


@pytest.mark.parametrize(
    "foreign", ["no ticket", "a\x00b-1", "job-99999999999999999999999", "-1", "job-0x1", b"\xff-1"]
)
def test_rq_jobs_of_others_in_a_list_do_not_stop_the_search(
    database: Database, redis_url: str, redis_client: Redis, foreign: str
) -> None:
    lost, kept = add_jobs(database, 2)
    set_columns(database, [lost], dispatched_at=EPOCH.replace(year=2000))
    redis_client.rpush(f"rq:queue:{QUEUE}", foreign)
    push(redis_url, ticket(kept))

    relay_of(database, redis_url).tick()

    assert row_of(database, lost).seq == 2
