"""Connections to Redis, with the time-outs that each user of it needs."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

QUICK_TIMEOUT_S = 1.0


def connect(url: str, timeout_s: float = 10.0) -> Redis:
    """A client for ``url``; nothing is opened until its first command."""
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


def connect_quick(url: str) -> Redis:
    """A client that gives up after 1 s and tries nothing twice.

    For the web process and the relay: with the library's defaults a stopped Redis held one
    enqueue for 59 s. What it could not do is in SQL and is done later.
    """
    return Redis.from_url(
        url,
        socket_timeout=QUICK_TIMEOUT_S,
        socket_connect_timeout=QUICK_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
