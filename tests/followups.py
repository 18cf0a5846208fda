"""Follow-up jobs, which a test pushes to a Redis of its own and drains in its own process."""

from redis import Redis

from queues.ticket import Ticket
from tests.relays import dispatcher_of

QUEUE = "llm_followup"
FOLLOWUP = {"job_type": "followup", "queue": QUEUE, "payload": {"message": "a bike"}}


def url_of(redis: Redis) -> str:
    return "redis://{host}:{port}/0".format(**redis.connection_pool.connection_kwargs)


def push(redis: Redis, *job_ids: str) -> None:
    """Push the jobs' first tickets, as intake does."""
    tickets = [Ticket(job_id, 1, "followup", QUEUE) for job_id in job_ids]
    assert dispatcher_of(url_of(redis)).push(tickets)
