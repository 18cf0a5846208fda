"""Pushes tickets to RQ, best effort: what is not pushed stands in SQL and is pushed later."""

import logging
import threading
import time
from collections.abc import Sequence

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError

from queues.connection import connect_quick
from queues.registries import retire, stop_running
from queues.ticket import Ticket
from queues.tickets import make_job

logger = logging.getLogger(__name__)

REST_S = 5.0
"""After a push has failed, none is tried for so long: a dead Redis must not slow every submit."""


class Dispatcher:
    """Pushes tickets with a connection that gives up after 1 s. Threads may share it."""

    def __init__(self, redis_url: str, *, job_timeout_s: int, failure_ttl_s: int) -> None:
        self._redis = connect_quick(redis_url)
        self._job_timeout_s = job_timeout_s
        self._failure_ttl_s = failure_ttl_s
        self._rest_until = 0.0
        self._queues: dict[str, Queue] = {}
        self._lock = threading.Lock()

    @property
    def is_resting(self) -> bool:
        """True for 5 s after a push has failed: write rows as not dispatched."""
        return time.monotonic() < self._rest_until

    def push(self, tickets: Sequence[Ticket]) -> bool:
        """Push the tickets; ``False`` when Redis did not take them (perhaps some of them).

        One ticket goes with RQ's uniqueness check; several go in one pipeline, which cannot have
        it: their generation makes their ids fresh.
        """
        if self.is_resting:
            return False
        try:
            if len(tickets) == 1:
                self._push_one(tickets[0])
            elif tickets:
                self._push_many(tickets)
        except RedisError as error:
            self._rest_until = time.monotonic() + REST_S
            logger.warning("redis did not take %d tickets: %s", len(tickets), type(error).__name__)
            return False
        return True

    def withdraw(self, ticket: Ticket, *, running: bool) -> None:
        """Retire a ticket that SQL has made void; stop the work-horse that runs it. Best effort."""
        if self.is_resting:
            return
        try:
            if running:
                stop_running(self._redis, ticket)
            retire(self._redis, [ticket])
        except RedisError as error:
            logger.warning("could not withdraw %s: %s", ticket.rq_id, type(error).__name__)

    def _push_one(self, ticket: Ticket) -> None:
        job = make_job(ticket, self._redis, self._job_timeout_s, self._failure_ttl_s)
        try:
            self._queue(ticket.list_name).enqueue_job(job, unique=True)
        except DuplicateJobError:
            logger.info("ticket %s was in redis already", ticket.rq_id)

    def _push_many(self, tickets: Sequence[Ticket]) -> None:
        with self._redis.pipeline() as pipeline:
            for ticket in tickets:
                job = make_job(ticket, self._redis, self._job_timeout_s, self._failure_ttl_s)
                self._queue(ticket.list_name).enqueue_job(job, pipeline=pipeline)
            pipeline.execute()

    def _queue(self, list_name: str) -> Queue:
        with self._lock:
            if list_name not in self._queues:
                self._queues[list_name] = Queue(
                    list_name, connection=self._redis, serializer="json"
                )
            return self._queues[list_name]
