"""Schedules of faults that once lost, doubled or wedged something, run on the real parts."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.timeouts import JobTimeoutException

from app import log
from app.store import outcomes, submissions
from app.store.database import Database, open_database
from app.store.outcomes import Report
from demo.stand_in_llm import StandIn
from queues import notify
from queues.embedded import EmbeddedRedis
from queues.ticket import Ticket
from tests.factories import (
    LATER,
    PROBLEM,
    add_job,
    claimed,
    new_job,
    row_of,
    set_columns,
    ticket,
    try_claim,
)
from tests.relays import dispatcher_of, relay_of
from workers import runner, runtime
from workers import worker as worker_module
from workers.leases import Lease
from workers.runner import JobFailed, run
from workers.runtime import Runtime
from workers.worker import LLMWorker

QUEUE = "llm_followup"
FOLLOWUP = {"job_type": "followup", "queue": QUEUE, "payload": {"message": "a bike"}}


@pytest.fixture
def llm() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A client of a Redis that the test may starve."""
    with EmbeddedRedis() as server, Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def drain(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis: Redis, llm: StandIn
) -> Iterator[Callable[[], None]]:
    """Work in this process until the queue is empty."""
    url = "redis://{host}:{port}/0".format(**redis.connection_pool.connection_kwargs)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("LLM_BASE_URL", llm.url)
    monkeypatch.setattr(log, "configure", lambda _: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def work() -> None:
        with Redis.from_url(url) as connection:
            LLMWorker([QUEUE], connection=connection).work(burst=True)

    yield work
    for number, handler in handlers.items():
        signal.signal(number, handler)


def push(redis: Redis, *job_ids: str) -> None:
    url = "redis://{host}:{port}/0".format(**redis.connection_pool.connection_kwargs)
    tickets = [Ticket(job_id, 1, "followup", QUEUE) for job_id in job_ids]
    assert dispatcher_of(url).push(tickets)


# -- what anybody may have written to Redis -------------------------------------------------------

MALFORMED = [
    {"data": "x", "created_at": "yesterday"},
    {"data": "x", "timeout": "soon"},
    {"data": "x", "status": "fine"},
    {"data": "x", "retries_left": "many"},
    {"data": "x", "dependency_ids": "{"},
]


@pytest.mark.parametrize("fields", MALFORMED)
def test_a_malformed_ticket_does_not_end_the_worker(sqlite_database, drain, redis, fields):
    redis.hset("rq:job:bad-1", mapping=fields)
    redis.rpush(f"rq:queue:{QUEUE}", "bad-1")
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(redis, job_id)

    drain()

    assert row_of(sqlite_database, job_id).status == "completed"


def test_a_ticket_under_another_jobs_name_is_not_run(sqlite_database, drain, redis, llm):
    """Its lease would be kept for the job that its name tells, and the other would run twice."""
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(redis, job_id)
    redis.rename(f"rq:job:{job_id}-1", "rq:job:other-1")
    redis.delete(f"rq:queue:{QUEUE}")
    redis.rpush(f"rq:queue:{QUEUE}", "other-1")

    drain()

    assert row_of(sqlite_database, job_id).status == "queued"


def test_malformed_registries_do_not_keep_workers_from_working(sqlite_database, drain, redis):
    redis.zadd(f"rq:wip:{QUEUE}", {"no execution": 1})
    redis.set(f"rq:deferred:{QUEUE}", "not a sorted set")
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(redis, job_id)

    drain()

    assert row_of(sqlite_database, job_id).status == "completed"


def test_a_redis_that_refuses_writes_for_a_while_does_not_end_the_worker(
    sqlite_database, drain, redis, llm
):
    llm.misbehave("latency", seconds=1.0)
    job_ids = [add_job(sqlite_database, **FOLLOWUP) for _ in range(2)]
    push(redis, *job_ids)

    def starve() -> None:
        while row_of(sqlite_database, job_ids[0]).status == "queued":
            time.sleep(0.02)
        redis.config_set("maxmemory", 1)
        while row_of(sqlite_database, job_ids[0]).status == "processing":
            time.sleep(0.02)
        time.sleep(1.5)
        redis.config_set("maxmemory", 0)

    starver = threading.Thread(target=starve)
    starver.start()
    drain()
    starver.join()

    assert [row_of(sqlite_database, job_id).status for job_id in job_ids] == ["completed"] * 2


def test_a_malformed_command_does_not_deafen_the_worker(redis, monkeypatch):
    worker = LLMWorker([QUEUE], connection=redis)
    commands: list[Any] = []
    monkeypatch.setattr(
        "rq.worker.base.handle_command", lambda _worker, payload: commands.append(payload)
    )
    worker.subscribe()
    try:
        redis.publish(worker.pubsub_channel_name, "{")
        redis.publish(worker.pubsub_channel_name, '{"command": "stop-job"}')
        deadline = time.monotonic() + 10
        while not commands and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        worker.pubsub_thread.stop()
        redis.publish(worker.pubsub_channel_name, "{}")
        worker.pubsub_thread.join(10)
    assert commands[0] == {"command": "stop-job"}


def test_cancelling_a_job_whose_ticket_is_malformed_is_no_error(redis_client, redis_url):
    redis_client.hset("rq:job:job-1", mapping={"data": "x", "created_at": "yesterday"})
    dispatcher_of(redis_url).withdraw(ticket("job", 1), running=True)
    assert redis_client.ttl("rq:job:job-1") > 0


def test_a_mark_that_was_set_to_its_limit_is_taken_for_one_wipe_and_then_grows_on(
    sqlite_database, redis_url, redis_client, caplog
):
    relay = relay_of(sqlite_database, redis_url)
    relay.tick()
    redis_client.set(notify.MARK_KEY, "9" * 15)
    relay.tick()
    assert "redis was wiped" in caplog.text
    caplog.clear()
    relay.tick()
    relay.tick()
    assert "redis was wiped" not in caplog.text


# -- forks ----------------------------------------------------------------------------------------


def test_a_lease_that_is_still_being_written_does_not_lock_the_next_work_horse_out(
    sqlite_database, drain, redis, llm, monkeypatch
):
    def extend_slowly(self: Lease) -> None:
        if self._job_id != job_ids[0]:
            return
        while row_of(sqlite_database, job_ids[0]).status != "completed":
            time.sleep(0.01)
        with self._database.begin():
            time.sleep(1.5)

    monkeypatch.setattr(worker_module, "BEAT_S", 0.1)
    monkeypatch.setattr("workers.runner.CLAIM_PATIENCE_S", 0.1)
    monkeypatch.setattr(Lease, "extend", extend_slowly)
    llm.misbehave("latency", seconds=0.3)
    job_ids = [add_job(sqlite_database, **FOLLOWUP) for _ in range(2)]
    push(redis, *job_ids)

    drain()

    assert [row_of(sqlite_database, job_id).status for job_id in job_ids] == ["completed"] * 2


# -- signals --------------------------------------------------------------------------------------


def test_a_second_sigterm_before_the_watch_has_begun_puts_the_job_back(
    sqlite_database, drain, redis, llm, monkeypatch
):
    def killed_meanwhile(self: LLMWorker, *_: Any) -> None:
        while row_of(sqlite_database, job_id).status == "queued":
            time.sleep(0.02)
        self.request_stop(signal.SIGTERM, None)
        time.sleep(1.1)
        self.request_force_stop(signal.SIGTERM, None)

    monkeypatch.setattr(LLMWorker, "_start_beats", killed_meanwhile)
    llm.misbehave("latency", seconds=30)
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(redis, job_id)

    with pytest.raises(SystemExit):
        drain()

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures) == ("queued", 0)


def test_a_work_horse_that_a_signal_hits_at_its_birth_does_not_become_a_worker(
    sqlite_database, drain, redis, monkeypatch, tmp_path
):
    def hit(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(LLMWorker, "main_work_horse", hit)
    push(redis, add_job(sqlite_database, **FOLLOWUP))
    parent = os.getpid()
    try:
        drain()
    finally:
        if os.getpid() != parent:
            Path(tmp_path, "escaped").touch()
            os._exit(1)

    assert not Path(tmp_path, "escaped").exists()


# -- people, clocks, outages ----------------------------------------------------------------------


def test_a_person_who_requeues_a_job_that_waited_too_long_for_its_llm_gives_it_a_new_start(
    database,
):
    claim = claimed(database)
    with database.begin() as connection:
        assert outcomes.defer(connection, claim, PROBLEM, Report(), 1.0)
    set_columns(database, [claim.job_id], status="failed", finished_at=claim.started_at)

    again = try_claim(database, claim.job_id, enqueued_at=LATER)

    assert again is not None
    assert (again.deferrals, again.deferred_since) == (0, None)


def test_two_batches_with_the_same_keys_in_another_order_do_not_deadlock(postgres_url):
    database = open_database(postgres_url)
    keys = ["key-1", "key-2"]
    errors: list[Exception] = []

    def submit(order: list[str]) -> None:
        batch = [new_job(idempotency_key=key) for key in order]
        try:
            with database.begin() as connection:
                submissions.add(connection, batch, dispatched=False, actor="api")
        except Exception as error:  # noqa: BLE001 - the test says which
            errors.append(error)

    # The rows of one statement go in one by one; the trigger makes time for the other batch.
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER slow BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    threads = [threading.Thread(target=submit, args=(order,)) for order in (keys, keys[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.forget_connections()
    assert errors == []


def test_leases_are_left_alone_when_everything_froze_in_mid_tick(database, redis_url, monkeypatch):
    claim = claimed(database)
    relay = relay_of(database, redis_url)

    def freeze() -> None:
        relay._database = database.shifted(60)

    monkeypatch.setattr(relay, "_expire", freeze)
    relay.tick()
    relay.tick()
    assert row_of(database, claim.job_id).status == "processing"


def test_leases_are_left_alone_when_everything_froze_just_before_they_are_looked_for(
    database, redis_url, monkeypatch
):
    claim = claimed(database)
    relay = relay_of(database, redis_url)
    take_back = relay._take_back_leases

    def freeze_first() -> None:
        relay._database = database.shifted(60)
        take_back()

    monkeypatch.setattr(relay, "_take_back_leases", freeze_first)
    relay.tick()
    relay.tick()
    assert row_of(database, claim.job_id).status == "processing"


class Silent:
    """An LLM that is never reached."""


@pytest.fixture
def installed(make_settings) -> Iterator[Callable[[Database], None]]:
    def install(database: Database) -> None:
        llm: Any = Silent()
        runtime.install(Runtime(make_settings(), database, llm, worker_name="worker-1"))

    yield install
    runtime.install(None)  # type: ignore[arg-type]  # the next test builds its own


def test_nothing_but_a_code_leaves_the_runner_when_the_database_became_read_only(
    postgres_url, installed
):
    database = open_database(postgres_url)
    installed(database)
    job_id = add_job(database, **FOLLOWUP)
    with database.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.forget_connections()
    monkey = pytest.MonkeyPatch()
    monkey.setattr(runner, "CLAIM_PATIENCE_S", 0.1)
    try:
        with pytest.raises(JobFailed, match=r"^database_unavailable$") as raised:
            run(job_id, 1)
    finally:
        monkey.undo()
        database.forget_connections()
    assert raised.value.__context__ is None


def test_a_time_out_during_the_claim_leaves_the_runner_as_a_code(
    sqlite_database, installed, monkeypatch
):
    def stopped(*_: Any, **__: Any) -> None:
        raise JobTimeoutException("too long")

    installed(sqlite_database)
    monkeypatch.setattr("workers.runner.claims.claim", stopped)
    with pytest.raises(JobFailed, match=r"^job_timeout$") as raised:
        run(add_job(sqlite_database, **FOLLOWUP), 1)
    assert raised.value.__context__ is None
