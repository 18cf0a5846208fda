"""What anybody may have written to Redis, or Redis may refuse, ends nothing."""

import threading
import time
from typing import Any

import pytest
from rq.exceptions import StopRequested

from queues import notify
from queues.dashboard import requeue_failed
from tests.factories import (
    add_job,
    row_of,
    ticket,
)
from tests.followups import FOLLOWUP, QUEUE, push
from tests.relays import dispatcher_of, relay_of
from workers.patience import survived
from workers.worker import LLMWorker

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


def test_requeueing_all_passes_over_a_malformed_ticket(redis_url, redis_client):
    push(redis_client, "job")
    redis_client.delete(f"rq:queue:{QUEUE}")
    redis_client.hset("rq:job:bad-1", mapping={"data": "x", "created_at": "yesterday"})
    redis_client.zadd(f"rq:failed:{QUEUE}", {"bad-1": 1, "job-1": 2})

    assert requeue_failed(redis_client, QUEUE) == 1
    assert redis_client.lrange(f"rq:queue:{QUEUE}", 0, -1) == [b"job-1"]


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


def test_a_worker_that_is_told_to_stop_does_not_survive_that():
    with pytest.raises(StopRequested), survived("a pop"):
        raise StopRequested
