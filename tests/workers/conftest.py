"""Fixtures of the workers' tests."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from app import log
from demo.stand_in_llm import StandIn
from queues.embedded import EmbeddedRedis
from tests.followups import QUEUE, url_of
from workers import runtime
from workers.runtime import Runtime
from workers.worker import LLMWorker


@pytest.fixture
def install(make_settings) -> Iterator[Callable[..., Runtime]]:
    """Make a runtime for a database and an LLM the process's own."""

    def make(database: Any, llm: Any, **variables: Any) -> Runtime:
        made = Runtime(make_settings(**variables), database, llm, worker_name="worker-1")
        runtime.install(made)
        return made

    yield make
    runtime.install(None)


@pytest.fixture
def llm() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A client of a Redis that the test may starve."""
    with EmbeddedRedis() as server, Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def drain(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis: Redis, llm: StandIn
) -> Iterator[Callable[[], None]]:
    """Work in this process until the queue is empty."""
    url = url_of(redis)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("LLM_BASE_URL", llm.url)
    monkeypatch.setattr(log, "configure", lambda _: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def work() -> None:
        with Redis.from_url(url) as connection:
            LLMWorker([QUEUE], connection=connection).work(burst=True)

    yield work
    for number, handler in handlers.items():
        signal.signal(number, handler)
