"""Maintenance's tick on real databases and a real Redis, with a clock that the test moves."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Connection, update

from app.errors import DatabaseUnavailableError
from app.jobs.status import JobStatus
from app.store import relay_state
from app.store import schema as tables
from app.store.database import EPOCH, Database, open_database, sql_time
from app.store.relay_state import RelayState
from queues.connection import connect_quick
from queues.embedded import EmbeddedRedis
from tests.factories import (
    QUEUE,
    add_job,
    add_jobs,
    attempts_of,
    cancelled,
    claimed,
    ended,
    moves_of,
    notifications_of,
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
from workers.relay import Relay


def _state(database: Database) -> RelayState:
    with database.read() as connection:
        return relay_state.read(connection)


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A server that the test may stop."""
    with EmbeddedRedis() as server:
        yield server


@contextmanager
def _stopped(server: EmbeddedRedis) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


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
    assert [record.job_id for record in caplog.records] == [bad]  # type: ignore[attr-defined]


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


# -- outages ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_while_redis_is_stopped_sql_goes_on_and_no_generation_is_raised(
    database: Database, own_redis: EmbeddedRedis
) -> None:
    due, lost = add_job(database, dispatched=False), add_job(database)
    running = claimed(database, add_job(database, max_attempts=1)).job_id
    relay = relay_of(database, own_redis.url, at_s=100)

    with _stopped(own_redis):
        started = time.monotonic()
        for _ in range(2):
            assert relay.tick()
        assert time.monotonic() - started < 6
        assert (row_of(database, due).seq, row_of(database, lost).seq) == (1, 1)
        assert row_of(database, running).error_code == "worker_lost"

    relay.tick()
    assert (row_of(database, due).seq, row_of(database, lost).seq) == (2, 2)


def test_an_unreachable_database_makes_a_tick_fail_quietly(redis_url: str) -> None:
    database = open_database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", connect_timeout_s=1)
    relay = Relay(database, connect_quick(redis_url), dispatcher_of(redis_url))

    assert not relay.tick()


def test_a_database_without_tables_makes_a_tick_fail_quietly(
    tmp_path: Path, redis_url: str
) -> None:
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    relay = Relay(database, connect_quick(redis_url), dispatcher_of(redis_url))

    assert not relay.tick()
    database.forget_connections()


def test_a_database_that_goes_away_in_mid_tick_makes_it_fail(
    database: Database, redis_url: str
) -> None:
    add_job(database, dispatched=False)
    relay = relay_of(database, redis_url)
    flaky = _Flaky(database)
    relay._database = flaky
    for transactions in range(1, 6):
        flaky.left = transactions
        assert not relay.tick()

    flaky.left = 1_000
    assert relay.tick()


class _Flaky(Database):
    """A database that goes away after ``left`` transactions."""

    left = 0

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._count()
        with super().begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._count()
        with super().read() as connection:
            yield connection

    def _count(self) -> None:
        if self.left <= 0:
            raise DatabaseUnavailableError("away")
        self.left -= 1


def test_an_unexpected_error_in_one_step_does_not_stop_the_others(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = add_job(database, dispatched=False)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("workers.relay.relay.expired_leases", broken)
    relay = relay_of(database, redis_url)

    assert relay.tick()
    assert listed(redis_client) == [f"{job_id}-2"]


def test_a_tick_leaves_its_time_in_sql(database: Database, redis_url: str) -> None:
    relay = relay_of(database, redis_url, at_s=500)
    with database.begin() as connection:
        connection.execute(update(tables.relay_state).values(last_tick_at=EPOCH))

    relay.tick()

    state = _state(database.shifted(500))
    assert (state.now - state.last_tick_at).total_seconds() < 5


# -- two at once ------------------------------------------------------------------------------


def test_two_relays_at_once_do_no_harm(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.SLICE", 7)
    due = add_jobs(database, 60)
    set_columns(database, due, dispatched_at=EPOCH)
    running = [claimed(database, job_id).job_id for job_id in add_jobs(database, 20)]
    doomed = add_jobs(database, 20, ttl_s=10)
    relays = [relay_of(database, redis_url, at_s=31) for _ in range(2)]

    def work(relay: Relay) -> None:
        for _ in range(6):
            assert relay.tick()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, relays))

    rows = {job_id: row_of(database, job_id) for job_id in due}
    tickets = listed(redis_client)
    assert len(tickets) == len(set(tickets))
    assert {f"{job_id}-{row.seq}" for job_id, row in rows.items()} <= set(tickets)
    assert {row.seq for row in rows.values()} == {2}
    for job_id in running:
        assert [m for m in moves_of(database, job_id) if m[0] == "processing"] == [
            ("processing", "queued")
        ]
        assert row_of(database, job_id).failures == 1
    for job_id in doomed:
        assert moves_of(database, job_id)[1:] == [("queued", "error")]
