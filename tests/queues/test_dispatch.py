import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from rq.job import Job

from queues import dispatch
from queues.dispatch import Dispatcher
from queues.embedded import EmbeddedRedis
from queues.ticket import Ticket
from tests.factories import ticket
from tests.relays import (
    DEAD_URL,
    dispatcher_of,
    file_as_failed,
    in_failed_registry,
    listed,
    pop,
    queue_of,
    ttl_s,
)


@contextmanager
def _stopped(server: EmbeddedRedis) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.mark.parametrize("number", [1, 3])
def test_a_ticket_reaches_its_list_in_the_shape_that_rq_shows(
    redis_url: str, redis_client: Redis, number: int
) -> None:
    tickets = [Ticket(f"job-{n}", 2, "intent_classify", "llm_intent-low") for n in range(number)]

    assert dispatcher_of(redis_url).push(tickets)

    assert listed(redis_client, "llm_intent-low") == [f"job-{n}-2" for n in range(number)]
    job = Job.fetch("job-0-2", connection=redis_client, serializer="json")
    assert (job.func_name, job.args, job.kwargs) == ("workers.runner.run", ["job-0", 2], {})
    assert (job.description, job.origin) == ("intent_classify job-0", "llm_intent-low")
    assert (job.timeout, job.result_ttl, job.failure_ttl, job.ttl) == (600, 60, 86_400, None)
    assert job.enqueued_at is not None
    assert ttl_s(redis_client, tickets[0]) == -1
    assert redis_client.sismember("rq:queues", "rq:queue:llm_intent-low")


def test_pushing_nothing_is_a_success(redis_url: str, redis_client: Redis) -> None:
    assert dispatcher_of(redis_url).push([])
    assert redis_client.dbsize() == 0


def test_a_ticket_that_is_in_redis_already_counts_as_pushed(
    redis_url: str, redis_client: Redis
) -> None:
    dispatcher = dispatcher_of(redis_url)

    assert dispatcher.push([ticket("job")])
    assert dispatcher.push([ticket("job")])

    assert listed(redis_client) == ["job-1"]
    assert not dispatcher.is_resting


def test_a_new_generation_is_not_blocked_by_what_a_lost_ticket_left(
    redis_url: str, redis_client: Redis
) -> None:
    dispatcher = dispatcher_of(redis_url)
    dispatcher.push([ticket("job", 1)])
    pop(redis_client)

    assert dispatcher.push([ticket("job", 2)])

    assert listed(redis_client) == ["job-2"]


def test_a_stopped_redis_holds_a_push_for_a_second_and_the_next_not_at_all(
    own_redis: EmbeddedRedis,
) -> None:
    dispatcher = dispatcher_of(own_redis.url)
    with _stopped(own_redis):
        started = time.monotonic()
        assert not dispatcher.push([ticket("a")])
        first_s = time.monotonic() - started
        assert dispatcher.is_resting
        assert not dispatcher.push([ticket("b"), ticket("c")])
        dispatcher.withdraw(ticket("d"), running=True)
        both_s = time.monotonic() - started

    assert 0.9 < first_s < 2.5
    assert both_s - first_s < 0.2


@pytest.mark.parametrize("number", [1, 2])
def test_a_redis_that_is_down_makes_pushes_rest_for_five_seconds(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, number: int
) -> None:
    dispatcher = Dispatcher(DEAD_URL, job_timeout_s=600, failure_ttl_s=60)
    assert not dispatcher.is_resting
    before = time.monotonic()
    assert not dispatcher.push([ticket(f"job-{n}") for n in range(number)])
    after = time.monotonic()

    for now, rests in ((before + 4.9, True), (after + 5.1, False)):
        monkeypatch.setattr(dispatch.time, "monotonic", lambda now=now: now)
        assert dispatcher.is_resting == rests
    monkeypatch.undo()


def test_pushes_go_on_once_redis_is_back(own_redis: EmbeddedRedis) -> None:
    dispatcher = dispatcher_of(own_redis.url)
    with _stopped(own_redis):
        assert not dispatcher.push([ticket("a")])
    dispatcher._rest_until = 0.0

    assert dispatcher.push([ticket("b")])


def test_withdrawing_a_ticket_takes_it_out_of_the_failed_registry(
    redis_url: str, redis_client: Redis
) -> None:
    dispatcher = dispatcher_of(redis_url)
    dispatcher.push([ticket("job")])
    file_as_failed(redis_client, ticket("job"))

    dispatcher.withdraw(ticket("job"), running=False)

    assert in_failed_registry(redis_client) == []
    assert 0 < ttl_s(redis_client, ticket("job")) <= 300


@pytest.mark.parametrize("is_known", [True, False])
def test_stopping_a_ticket_that_nobody_runs_is_no_error(
    redis_url: str, redis_client: Redis, is_known: bool
) -> None:
    dispatcher = dispatcher_of(redis_url)
    if is_known:
        dispatcher.push([ticket("job")])

    dispatcher.withdraw(ticket("job"), running=True)

    assert not dispatcher.is_resting


def test_a_running_ticket_is_stopped_by_a_message_to_its_worker(
    redis_url: str, redis_client: Redis
) -> None:
    dispatcher = dispatcher_of(redis_url)
    dispatcher.push([ticket("job")])
    redis_client.hset("rq:job:job-1", mapping={"status": "started", "worker_name": "w"})
    with redis_client.pubsub() as pubsub:
        pubsub.subscribe("rq:pubsub:w")
        assert pubsub.get_message(timeout=5) is not None

        dispatcher.withdraw(ticket("job"), running=True)

        message = pubsub.get_message(timeout=5)
    assert message is not None
    assert b'"stop-job"' in message["data"]
    assert b'"job-1"' in message["data"]


def test_withdrawing_while_redis_is_down_is_no_error() -> None:
    dispatcher = dispatcher_of(DEAD_URL)

    dispatcher.withdraw(ticket("job"), running=False)

    assert not dispatcher.is_resting, "a failed withdrawal says nothing about pushes"


def test_lists_are_reused_and_told_apart(redis_url: str, redis_client: Redis) -> None:
    dispatcher = dispatcher_of(redis_url)
    dispatcher.push([ticket("a"), ticket("b", list_name="llm_intent-high"), ticket("c")])

    assert queue_of(redis_client).job_ids == ["a-1", "c-1"]
    assert queue_of(redis_client, "llm_intent-high").job_ids == ["b-1"]
