"""A relay on a shifted clock, and RQ as the relay finds it: lists, registries, tickets' hashes."""

from typing import cast

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry

from app.store import relay_state
from app.store.database import Database
from queues.connection import connect_quick
from queues.dispatch import Dispatcher
from queues.ticket import Ticket
from tests.factories import QUEUE
from workers.relay import Relay

DEAD_URL = "redis://127.0.0.1:1/0"


def dispatcher_of(url: str) -> Dispatcher:
    return Dispatcher(url, job_timeout_s=600, failure_ttl_s=86_400)


def relay_of(
    database: Database,
    redis_url: str,
    *,
    at_s: float = 0.0,
    dispatcher: Dispatcher | None = None,
    redis: Redis | None = None,
) -> Relay:
    """A relay whose clock is ``at_s`` ahead and whose last tick was just before that."""
    late = database.shifted(at_s)
    with late.begin() as connection:
        relay_state.finish_tick(connection)
    return Relay(late, redis or connect_quick(redis_url), dispatcher or dispatcher_of(redis_url))


def listed(redis: Redis, list_name: str = QUEUE) -> list[str]:
    """The RQ ids in a list, next to be popped first."""
    return [rq_id.decode() for rq_id in cast("list[bytes]", redis.lrange(_list(list_name), 0, -1))]


def push(redis_url: str, *tickets: Ticket) -> None:
    """Push tickets as intake does."""
    assert dispatcher_of(redis_url).push(tickets)


def pop(redis: Redis, list_name: str = QUEUE) -> str:
    """Take the next ticket out of its list, as a worker that then does nothing with it."""
    return cast("bytes", redis.lpop(_list(list_name))).decode()


def file_as_failed(redis: Redis, ticket: Ticket) -> None:
    """Put the ticket where RQ leaves it after ``JobFailed``."""
    redis.lrem(_list(ticket.list_name), 0, ticket.rq_id)
    job = Job.fetch(ticket.rq_id, connection=redis, serializer="json")
    failed_registry(redis, ticket.list_name).add(job, ttl=86_400, exc_string="JobFailed")


def failed_registry(redis: Redis, list_name: str = QUEUE) -> FailedJobRegistry:
    return FailedJobRegistry(list_name, connection=redis, serializer="json")


def in_failed_registry(redis: Redis, list_name: str = QUEUE) -> list[str]:
    return failed_registry(redis, list_name).get_job_ids(cleanup=False)


def ttl_s(redis: Redis, ticket: Ticket) -> int:
    """The seconds left for a ticket's hash: -1 for ever, -2 gone."""
    return cast("int", redis.ttl(f"rq:job:{ticket.rq_id}"))


def queue_of(redis: Redis, list_name: str = QUEUE) -> Queue:
    return Queue(list_name, connection=redis, serializer="json")


def _list(list_name: str) -> str:
    return f"rq:queue:{list_name}"
