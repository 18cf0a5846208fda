"""RQ's worker loop, made to outlive any trouble with Redis.

RQ's own ends the worker at a time-out, at a command that Redis refuses, and at a hash or a message
that it cannot read, all of which anybody who can write to Redis may bring about.
"""

import logging
import time
from typing import Any

from redis.exceptions import RedisError
from rq.job import Job
from rq.queue import Queue
from rq.utils import now
from rq.worker import Worker

from workers.patience import quick_copy, survived

logger = logging.getLogger(__name__)


class PatientWorker(Worker):
    """A worker that leaves when it is told to, and for no other reason."""

    max_connection_wait_time = 5.0
    _is_leaving = False

    @property
    def dequeue_timeout(self) -> int:
        """Seconds that one blocking pop waits: a Redis that hangs is noticed soon after."""
        return 10

    def check_for_suspension(self, burst: bool) -> None:
        """Wait while RQ is suspended."""
        with survived("asking whether RQ is suspended"):
            super().check_for_suspension(burst)

    def run_maintenance_tasks(self) -> None:
        """RQ's own clean-up of its registries; nothing of ours depends on it."""
        with survived("cleaning RQ's registries"):
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ's is
        # RQ sets it last; a clean-up that was cut short is not begun again at once.
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares it as None

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> tuple[Job, Queue] | None:
        """Take the next ticket; one that cannot be read is dropped, for SQL knows its job."""
        while True:
            with survived("taking a ticket"):
                return super().dequeue_job_and_maintain_ttl(*args, **kwargs)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that this worker lives, as part of ``pipeline`` or at once."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        with survived("the heartbeat"):
            super().heartbeat(timeout)

    def handle_payload(self, message: Any) -> None:
        """Obey a command; one that is malformed must not end the listening thread."""
        with survived("a command"):
            super().handle_payload(message)  # type: ignore[no-untyped-call]  # RQ's is

    def teardown(self) -> None:
        """Say goodbye, if Redis is there to hear it."""
        if self.is_horse:
            return
        self._is_leaving = True
        if self.pubsub_thread:
            self.pubsub_thread.stop()
        self.connection = quick_copy(self.connection)
        try:
            self.register_death()
        except RedisError as error:
            logger.warning("could not sign off: %s", type(error).__name__)

    def set_shutdown_requested_date(self) -> None:
        """Not written: RQ would wait for Redis in a signal handler, and nobody reads it."""

    def _pubsub_exception_handler(
        self,
        exc: Exception,
        pubsub: Any,  # noqa: ARG002 - RQ's signature
        pubsub_thread: Any,  # noqa: ARG002 - likewise
    ) -> None:
        """Go on listening after any trouble with Redis; RQ would stop at a time-out."""
        if self._is_leaving:
            return  # the connection was closed under the listener
        if not isinstance(exc, RedisError):
            raise exc
        time.sleep(1.0)
