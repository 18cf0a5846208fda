import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError

from queues.connection import connect
from queues.embedded import EmbeddedRedis
from workers.patience import LONGEST_WAIT_S, be_patient, quick_copy


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A server that the test may kill."""
    with EmbeddedRedis() as server:
        yield server


def test_a_patient_connection_waits_for_redis_to_come_back(
    own_redis: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(own_redis.url, timeout_s=1.0) as redis, caplog.at_level(logging.WARNING):
        be_patient(redis)
        redis.set("a", 1)
        own_redis.kill()
        # The server dies with the thread that starts it, so it is the client that gets its own.
        waiting = threading.Thread(target=redis.set, args=("a", 2), daemon=True)
        waiting.start()
        _wait_until(lambda: bool(caplog.messages))
        own_redis.start()
        waiting.join(timeout=20)

        assert redis.get("a") == b"2"
    waits = [message for message in caplog.messages if "does not answer" in message]
    assert len(waits) == 1


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopped_redis_is_waited_for_too(own_redis: EmbeddedRedis) -> None:
    with connect(own_redis.url, timeout_s=0.3) as redis:
        be_patient(redis)
        redis.ping()
        os.kill(own_redis.pid, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (own_redis.pid, signal.SIGCONT)).start()

        assert redis.ping()


def test_it_asks_again_every_two_seconds_at_the_latest() -> None:
    with connect("redis://127.0.0.1:1/0") as redis:
        be_patient(redis)
        backoff = redis.get_retry()._backoff  # type: ignore[union-attr]  # it was set above

    assert max(backoff.compute(failures) for failures in range(1, 60)) <= LONGEST_WAIT_S


def test_what_a_signals_handler_raises_ends_the_wait() -> None:
    def stop(_signum: int, _frame: object) -> None:
        raise SystemExit(3)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with connect("redis://127.0.0.1:1/0") as redis:
            be_patient(redis)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            with pytest.raises(SystemExit):
                redis.ping()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_quick_copy_of_a_patient_connection_gives_up_at_once() -> None:
    with connect("redis://127.0.0.1:1/0") as patient:
        be_patient(patient)
        with quick_copy(patient) as quick:
            started = time.monotonic()
            with pytest.raises(RedisError):
                quick.ping()

    assert time.monotonic() - started < 1


def test_a_quick_copy_reaches_the_same_server(redis_url: str, redis_client: Redis) -> None:
    redis_client.set("a", 1)
    with connect(redis_url) as redis, quick_copy(redis) as quick:
        assert quick.get("a") == b"1"
