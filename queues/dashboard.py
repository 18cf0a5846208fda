"""What rq-dashboard needs of RQ: safe classes, a quick connection, and a requeue that goes on.

Knows nothing of Flask: ``app.api.dashboard`` mounts the pages.
"""

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry

import queues.tickets  # noqa: F401 - makes RQ safe: the pages read jobs that anybody may have written
from queues.connection import connect_quick

__all__ = [
    "DashboardJob",
    "InvalidJobOperation",
    "NoSuchJobError",
    "RedisError",
    "connect_quick",
    "is_reachable",
    "requeue_failed",
]


class DashboardJob(Job):
    """A job whose ``dependency_ids`` are bytes, as rq-dashboard 0.9 expects them."""

    @property
    def dependency_ids(self) -> list[bytes]:  # type: ignore[override]  # the point of it
        """The ids of the jobs that this one waits for."""
        return [dependency_id.encode() for dependency_id in super().dependency_ids]


def is_reachable(redis: Redis) -> bool:
    """True when Redis answers within the connection's time-out."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def requeue_failed(redis: Redis, list_name: str) -> int:
    """Requeue every ticket of a failed registry, and return how many there were.

    RQ's own way stops at the first entry whose ticket is gone or was requeued meanwhile.
    """
    registry = FailedJobRegistry(list_name, connection=redis)
    requeued = 0
    for rq_id in registry.get_job_ids(cleanup=False):
        try:
            registry.requeue(rq_id)
        except RedisError:
            raise
        except Exception:  # noqa: BLE001, S112 - at a hash that was tampered with RQ raises anything
            continue
        requeued += 1
    return requeued
