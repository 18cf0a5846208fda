"""A Redis that is away does not end a worker: it waits."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq.exceptions import StopRequested

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 2.0
REFUSED_WAIT_S = 1.0
MALFORMED_WAIT_S = 0.1


class _LoggedBackoff(ExponentialBackoff):
    """Says once per outage that Redis is away."""

    def compute(self, failures: int) -> float:
        if failures == 1:
            logger.warning("redis does not answer; waiting for it")
        return float(super().compute(failures))


def be_patient(connection: Redis) -> None:
    """Repeat every command until Redis takes it, at most 2 s apart.

    Signal handlers still run while it waits, and what they raise ends the wait.
    """
    connection.set_retry(_retry(_LoggedBackoff(cap=LONGEST_WAIT_S, base=0.1), -1))


@contextmanager
def survived(doing: str) -> Iterator[None]:
    """Log what goes wrong with Redis, or with what lies in it, and go on after a moment.

    RQ's loop ends the worker at any exception: when Redis refuses a command (it is full, a
    replica, cannot save), and at a hash or a registry that anybody may have written.
    """
    try:
        yield
    except StopRequested:
        raise
    except RedisError as error:
        logger.warning("%s: redis refused it: %s", doing, type(error).__name__)
        time.sleep(REFUSED_WAIT_S)
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("%s: left alone: %s", doing, type(error).__name__)
        time.sleep(MALFORMED_WAIT_S)


def quick_copy(connection: Redis, timeout_s: float = 1.0) -> Redis:
    """A client of the same server that gives up at the first failure, for the way out."""
    pool = connection.connection_pool
    kwargs = pool.connection_kwargs | {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": _retry(NoBackoff(), 0),
    }
    return Redis(connection_pool=ConnectionPool(pool.connection_class, **kwargs))


def _retry(backoff: Any, retries: int) -> Retry:
    return Retry(
        backoff, retries, supported_errors=(RedisConnectionError, RedisTimeoutError, TimeoutError)
    )
