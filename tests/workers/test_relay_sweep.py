"""Void tickets that lie about in RQ, and those that must stay there."""

import time

import pytest
from redis import Redis

from app.jobs.status import JobStatus
from app.store.database import Database
from tests.factories import (
    QUEUE,
    cancelled,
    claimed,
    completed,
    ended,
    set_columns,
    ticket,
    waiting,
)
from tests.relays import (
    file_as_failed,
    in_failed_registry,
    push,
    relay_of,
    ttl_s,
)
from workers.relay import Relay

STARTED = f"rq:wip:{QUEUE}"
INTERMEDIATE = f"rq:queue:{QUEUE}:intermediate"


# -- the sweep --------------------------------------------------------------------------------


def _sweeping(database: Database, redis_url: str, at_s: float = 120.0) -> Relay:
    relay = relay_of(database, redis_url, at_s=at_s)
    relay._next_sweep = 0.0
    return relay


def test_void_tickets_leave_the_failed_registry_and_those_of_use_stay(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    void = [completed(database), cancelled(database)]
    kept = [
        ended(database, JobStatus.FAILED),
        ended(database, JobStatus.ERROR),
        waiting(database, wait_s=3_600),
        claimed(database, lease_s=3_600).job_id,
    ]
    newer = waiting(database, wait_s=3_600)
    set_columns(database, [newer], seq=2)
    for job_id in [*void, *kept, newer, "deleted"]:
        push(redis_url, ticket(job_id))
        file_as_failed(redis_client, ticket(job_id))

    _sweeping(database, redis_url).tick()

    assert sorted(in_failed_registry(redis_client)) == sorted(f"{job_id}-1" for job_id in kept)
    for job_id in [*void, newer, "deleted"]:
        assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300
    assert ttl_s(redis_client, ticket(kept[0])) > 300


def test_a_ticket_that_became_void_a_moment_ago_is_not_swept(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = completed(database)
    push(redis_url, ticket(job_id))
    file_as_failed(redis_client, ticket(job_id))

    _sweeping(database, redis_url, at_s=55).tick()
    assert in_failed_registry(redis_client) == [f"{job_id}-1"]
    _sweeping(database, redis_url, at_s=65).tick()
    assert in_failed_registry(redis_client) == []


def test_void_tickets_leave_the_started_registry_and_the_intermediate_list(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    void, kept = cancelled(database), claimed(database, lease_s=3_600).job_id
    for job_id in (void, kept):
        redis_client.zadd(STARTED, {f"{job_id}-1:execution-{job_id}": 2e9})
        redis_client.rpush(INTERMEDIATE, f"{job_id}-1")

    _sweeping(database, redis_url).tick()

    assert redis_client.zrange(STARTED, 0, -1) == [f"{kept}-1:execution-{kept}".encode()]
    assert redis_client.lrange(INTERMEDIATE, 0, -1) == [f"{kept}-1".encode()]


@pytest.mark.parametrize("foreign", [b"no ticket", b"\xff\x00-1", b"job-99999999999999999999"])
def test_rq_jobs_of_others_are_left_where_they_lie(
    database: Database, redis_url: str, redis_client: Redis, foreign: bytes
) -> None:
    void = cancelled(database)
    redis_client.zadd(f"rq:failed:{QUEUE}", {foreign: 2e9, f"{void}-1": 2e9})

    _sweeping(database, redis_url).tick()

    assert redis_client.zrange(f"rq:failed:{QUEUE}", 0, -1) == [foreign]


def test_a_large_registry_is_swept_in_slices_over_several_ticks(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.STEP_BUDGET_S", -1.0)
    members = {f"gone-{number}-1": 2e9 for number in range(1_500)}
    redis_client.zadd(f"rq:failed:{QUEUE}", members)
    relay = _sweeping(database, redis_url)

    relay.tick()
    left = redis_client.zcard(f"rq:failed:{QUEUE}")
    assert 0 < left < 1_500
    deadline = time.monotonic() + 20
    while redis_client.zcard(f"rq:failed:{QUEUE}") and time.monotonic() < deadline:
        relay.tick()

    assert redis_client.zcard(f"rq:failed:{QUEUE}") == 0


def test_rq_is_swept_once_a_minute_and_not_each_second(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    relay = _sweeping(database, redis_url)
    relay.tick()
    redis_client.zadd(f"rq:failed:{QUEUE}", {"gone-1": 2e9})
    for _ in range(3):
        relay.tick()

    assert in_failed_registry(redis_client) == ["gone-1"]


def test_a_sweep_that_redis_cut_short_is_begun_again(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    redis_client.zadd(f"rq:failed:{QUEUE}", {"gone-1": 2e9})
    redis_client.set(STARTED, "of the wrong type")
    relay = _sweeping(database, redis_url)
    assert relay.tick()

    redis_client.delete(STARTED)
    redis_client.rpush(INTERMEDIATE, "gone-1")
    relay._next_sweep = 0.0
    relay.tick()
    relay._next_sweep = 0.0
    relay.tick()

    assert redis_client.llen(INTERMEDIATE) == 0
