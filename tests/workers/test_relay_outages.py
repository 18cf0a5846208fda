"""Ticks while Redis or the database is away, and two relays at once."""

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
from app.store import relay_state
from app.store import schema as tables
from app.store.database import EPOCH, Database, open_database
from app.store.relay_state import RelayState
from queues.connection import connect_quick
from queues.embedded import EmbeddedRedis
from tests.factories import (
    add_job,
    add_jobs,
    claimed,
    moves_of,
    row_of,
    set_columns,
)
from tests.relays import (
    dispatcher_of,
    listed,
    relay_of,
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
