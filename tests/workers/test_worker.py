"""The worker class in this process: its work-horses are forked from the test."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.job import Job

from app import log
from app.job_types.registry import all_job_types
from app.store.database import Database
from demo.stand_in_llm import StandIn
from queues.dispatch import Dispatcher
from queues.embedded import EmbeddedRedis
from queues.ticket import Ticket
from tests.factories import add_job, row_of
from workers import worker as worker_module
from workers.worker import LLMWorker

FOLLOWUP = {"job_type": "followup", "queue": "llm_followup", "payload": {"message": "a bike"}}


@pytest.fixture
def llm() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def work(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis_url: str, llm: StandIn
) -> Iterator[Callable[..., LLMWorker]]:
    """Drain the queue ``llm_followup`` in this process, in burst mode; returns the worker."""
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LLM_BASE_URL", llm.url)
    monkeypatch.setattr(log, "configure", lambda _: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def drain(**options: Any) -> LLMWorker:
        with Redis.from_url(redis_url) as connection:
            worker = LLMWorker(["llm_followup"], connection=connection)
            worker.work(**({"burst": True, "with_scheduler": True} | options))
            return worker

    yield drain
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def push(redis_url: str) -> Callable[..., None]:
    """Push a job's ticket as the web process does."""

    def send(job_id: str, timeout_s: int = 60) -> None:
        dispatcher = Dispatcher(redis_url, job_timeout_s=timeout_s, failure_ttl_s=600)
        assert dispatcher.push([Ticket(job_id, 1, "followup", "llm_followup")])

    return send


def failed(client: Redis) -> list[bytes]:
    return client.zrange("rq:failed:llm_followup", 0, -1)


def test_a_job_is_done_and_no_scheduler_is_started(sqlite_database, work, push, redis_client):
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(job_id)

    worker = work()

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.model) == ("completed", "stand-in")
    assert worker.scheduler is None
    assert redis_client.smembers("rq:workers") == set()


def test_a_time_out_is_recorded_and_filed(sqlite_database, work, push, monkeypatch, redis_client):
    monkeypatch.setattr(type(all_job_types()["followup"]), "ask", lambda *_: time.sleep(30))
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(job_id, timeout_s=1)

    work()

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures, row.error_code) == ("queued", 1, "job_timeout")
    assert failed(redis_client) == [f"{job_id}-1".encode()]
    filed = Job.fetch(f"{job_id}-1", connection=redis_client).latest_result()
    assert filed.exc_string == "workers.runner.JobFailed: job_timeout\n"


def claim_and(action: Callable[[], object]) -> Callable[..., None]:
    """A stand-in for the runner: claims the job as it does, and then goes wrong."""

    def run(job_id: str, seq: int) -> None:
        from app.store import claims
        from workers.runtime import current

        runtime = current()
        with runtime.database.begin() as connection:
            assert claims.claim(
                connection,
                job_id=job_id,
                seq=seq,
                token=runtime.token,
                worker=runtime.worker_name,
                lease_s=300.0,
                enqueued_at="then",
            )
        action()

    return run


def deaf() -> None:
    """Run for ever with the alarm blocked, as C code may."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGUSR1}, 1.0)


def test_a_work_horse_deaf_to_its_time_out_is_killed_and_its_lease_ended(
    sqlite_database, work, push, monkeypatch, redis_client
):
    monkeypatch.setattr(worker_module, "KILL_GRACE_S", 0.5)
    monkeypatch.setattr("workers.runner.run", claim_and(deaf))
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(job_id, timeout_s=1)

    work()

    assert_lease_is_over(sqlite_database, job_id)
    assert failed(redis_client) == [f"{job_id}-1".encode()]


def assert_lease_is_over(database: Database, job_id: str) -> None:
    with database.read() as connection:
        from app.store.database import sql_time

        assert row_of(database, job_id).lease_until <= sql_time(connection)


def test_a_killed_work_horse_ends_its_lease_although_its_ticket_is_gone(
    sqlite_database, work, push, monkeypatch, redis_url
):
    def forget_and_die() -> None:
        with Redis.from_url(redis_url) as client:
            client.flushall()
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("workers.runner.run", claim_and(forget_and_die))
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(job_id)

    work()

    assert_lease_is_over(sqlite_database, job_id)


def test_the_lease_and_the_heartbeat_are_kept_while_the_job_runs(
    sqlite_database, work, push, monkeypatch, llm
):
    monkeypatch.setattr(worker_module, "BEAT_S", 0.1)
    beats: list[float] = []
    monkeypatch.setattr(LLMWorker, "maintain_heartbeats", lambda *_: beats.append(time.time()))
    llm.misbehave("latency", seconds=1.5)
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(job_id)
    leases: set[Any] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            leases.add(row_of(sqlite_database, job_id).lease_until)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()

    assert row_of(sqlite_database, job_id).status == "completed"
    assert len(leases - {None}) > 2
    assert len(beats) > 2


def test_the_names_given_are_served_with_their_priorities(redis_client):
    worker = LLMWorker(["llm_followup", "llm_intent-high"], connection=redis_client)
    assert worker.queue_names() == [
        "llm_followup-high",
        "llm_followup",
        "llm_followup-low",
        "llm_intent-high",
    ]
    named = LLMWorker(["llm_followup"], "a-name", connection=redis_client)
    assert named.name == "a-name"
    assert f".{os.getpid()}." in worker.name


def test_a_reply_is_waited_for_as_long_as_the_settings_say(redis_url, monkeypatch):
    monkeypatch.setattr("workers.rq_settings.REDIS_TIMEOUT_S", 2.5)
    with Redis.from_url(redis_url, socket_timeout=1) as connection:
        LLMWorker(["llm_followup"], connection=connection)
        assert connection.connection_pool.connection_kwargs["socket_timeout"] == 13


def test_a_worker_that_rq_only_looks_at_keeps_its_queues(redis_client):
    worker = LLMWorker(["llm_followup"], connection=redis_client)
    worker.register_birth()
    (seen,) = LLMWorker.all(connection=redis_client)
    assert seen.queue_names() == worker.queue_names()
    worker.register_death()


def test_no_signal_is_sent_without_a_work_horse(redis_client):
    worker = LLMWorker(["llm_followup"], connection=redis_client)
    worker.kill_horse()
    assert worker.wait_for_horse() == (None, None, None)


def test_commands_are_listened_to_after_any_trouble_with_redis(redis_client, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    from redis.exceptions import TimeoutError as RedisTimeoutError

    worker = LLMWorker(["llm_followup"], connection=redis_client)
    worker._pubsub_exception_handler(RedisTimeoutError("slow"), None, None)
    with pytest.raises(ValueError, match="ours"):
        worker._pubsub_exception_handler(ValueError("ours"), None, None)


def test_a_worker_without_an_llm_does_not_start(monkeypatch, work):
    monkeypatch.delenv("LLM_BASE_URL")
    with pytest.raises(SystemExit, match="LLM_BASE_URL is not set"):
        work()


def test_signing_off_from_a_dead_redis_is_quick_and_quiet(work, monkeypatch, caplog):
    with EmbeddedRedis() as server, Redis.from_url(server.url) as connection:
        worker = LLMWorker(["llm_followup"], connection=connection)

        def die(*_: Any, **__: Any) -> bool:
            server.kill()
            worker.teardown()
            return True

        monkeypatch.setattr(Worker, "work", die)
        started = time.monotonic()
        worker.work(burst=True)
    assert time.monotonic() - started < 10
    assert "could not sign off" in caplog.text


def test_a_foreign_ticket_is_filed_and_not_run(work, redis_client):
    Queue("llm_followup", connection=redis_client).enqueue("os.getpid", job_id="foreign-1")

    work()

    assert failed(redis_client) == [b"foreign-1"]
