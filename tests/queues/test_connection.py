import socket
import time

import pytest
from redis.exceptions import RedisError

from queues.connection import connect, connect_quick


@pytest.fixture
def silent_port() -> int:
    """A port that takes connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    yield listener.getsockname()[1]
    listener.close()


def test_a_quick_connection_gives_up_after_a_second_and_tries_once(silent_port: int) -> None:
    with connect_quick(f"redis://127.0.0.1:{silent_port}/0") as redis:
        started = time.monotonic()
        with pytest.raises(RedisError):
            redis.ping()

    assert 0.9 < time.monotonic() - started < 1.9


def test_a_refused_connection_fails_at_once() -> None:
    with connect_quick("redis://127.0.0.1:1/0") as redis:
        started = time.monotonic()
        with pytest.raises(RedisError):
            redis.ping()

    assert time.monotonic() - started < 0.5


def test_connections_answer(redis_url: str) -> None:
    for make in (connect, connect_quick):
        with make(redis_url) as redis:
            assert redis.ping()


def test_a_connections_time_out_is_the_one_given() -> None:
    with connect("redis://127.0.0.1:1/0", timeout_s=3.0) as redis:
        kwargs = redis.connection_pool.connection_kwargs

    assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (3.0, 3.0)
