"""What Redis holds, counted cheaply: lengths of lists, running tickets, workers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.worker_registration import REDIS_WORKER_KEYS

from queues.connection import connect_quick
from queues.names import lists_of


@dataclass(frozen=True)
class RedisCounts:
    """Tickets that wait and that run, by queue (its three lists together), and the workers."""

    waiting: dict[str, int]
    started: dict[str, int]
    workers: int
    active_workers: int


class RedisStats:
    """Counts through a connection that gives up after 1 s. Threads may share it."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect_quick(redis_url)

    def count(self, queues: Iterable[str]) -> RedisCounts | None:
        """The counts, in two round trips; ``None`` when Redis does not answer.

        Registries are only counted, never cleaned up: RQ's clean-up is not safe with two readers.
        """
        names = list(queues)
        try:
            waiting, started, worker_keys = self._lengths(names)
            states = self._worker_states(worker_keys)
        except RedisError:
            return None
        return RedisCounts(waiting, started, len(states), states.count(b"busy"))

    def _lengths(self, names: list[str]) -> tuple[dict[str, int], dict[str, int], list[bytes]]:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.smembers(REDIS_WORKER_KEYS)
            for name in names:
                for list_name in lists_of(name):
                    pipeline.llen(f"{RQ_KEY_PREFIX}:queue:{list_name}")
                    pipeline.zcard(f"{RQ_KEY_PREFIX}:wip:{list_name}")
            worker_keys, *lengths = pipeline.execute()
        per_queue = 2 * len(lists_of(""))
        parts = [lengths[start : start + per_queue] for start in range(0, len(lengths), per_queue)]
        waiting = {name: sum(part[::2]) for name, part in zip(names, parts, strict=True)}
        started = {name: sum(part[1::2]) for name, part in zip(names, parts, strict=True)}
        return waiting, started, sorted(cast("set[bytes]", worker_keys))

    def _worker_states(self, worker_keys: list[bytes]) -> list[bytes]:
        """The states of the living: a dead worker's name stays in the set, its hash expires."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in worker_keys:
                pipeline.hmget(key, "birth", "state")
            replies = cast("list[list[bytes | None]]", pipeline.execute())
        return [state or b"" for birth, state in replies if birth is not None]
