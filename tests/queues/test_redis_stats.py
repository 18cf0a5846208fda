import time

from redis import Redis

from queues.embedded import free_port
from queues.stats import RedisStats


def test_waiting_and_started_tickets_are_counted_over_the_three_lists(
    redis_url: str, redis_client: Redis
) -> None:
    for name in ("llm_a", "llm_a-high", "llm_a-low", "llm_b"):
        redis_client.rpush(f"rq:queue:{name}", "x-1", "y-1")
    redis_client.zadd("rq:wip:llm_b-high", {"z-1:e": time.time() - 9_999})
    counts = RedisStats(redis_url).count(["llm_a", "llm_b", "llm_c"])
    assert counts is not None
    assert counts.waiting == {"llm_a": 6, "llm_b": 2, "llm_c": 0}
    assert counts.started == {"llm_a": 0, "llm_b": 1, "llm_c": 0}
    assert redis_client.zcard("rq:wip:llm_b-high") == 1, "counting must not clean up"


def test_workers_that_live_are_counted_and_dead_ones_are_not(
    redis_url: str, redis_client: Redis
) -> None:
    for name, state in (("one", "busy"), ("two", "idle")):
        redis_client.hset(f"rq:worker:{name}", mapping={"birth": "2026-01-01", "state": state})
        redis_client.sadd("rq:workers", f"rq:worker:{name}")
    redis_client.sadd("rq:workers", "rq:worker:dead")
    counts = RedisStats(redis_url).count([])
    assert counts is not None
    assert (counts.workers, counts.active_workers) == (2, 1)


def test_without_redis_there_are_no_counts() -> None:
    assert RedisStats(f"redis://127.0.0.1:{free_port()}/0").count(["llm_a"]) is None
