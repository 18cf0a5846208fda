"""Who can write to Redis must not be able to run code: hostile RQ jobs against RQ's own classes."""

import json
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rq.serializers
from redis import Redis
from rq import Callback, Queue, Retry, SimpleWorker
from rq.callbacks import (
    execute_failure_callback,
    execute_stopped_callback,
    execute_success_callback,
)
from rq.exceptions import DeserializationError
from rq.job import Job, JobStatus
from rq.timeouts import TimerDeathPenalty
from rq.utils import import_attribute

from queues import tickets
from queues.ticket import Ticket
from queues.tickets import TicketRefusedError, make_job

ROOT = Path(__file__).resolve().parents[2]


class _Bomb:
    """Unpickling it creates a file: the sign that code was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def _hash(redis: Redis, rq_id: str, **fields: Any) -> Job:
    """Write an RQ job's hash as an intruder would, and read it back as RQ does."""
    redis.hset(
        f"rq:job:{rq_id}",
        mapping={
            "created_at": "2026-01-01T00:00:00.000000Z",
            "origin": "llm_intent",
            "status": "queued",
            **fields,
        },
    )
    return Job.fetch(rq_id, connection=redis, serializer="json")


def _data(function: str, *args: Any, instance: Any = None, **kwargs: Any) -> bytes:
    return zlib.compress(json.dumps([function, instance, args, kwargs]).encode())


@pytest.mark.parametrize(
    "function",
    ["os.system", "os.mkdir", "builtins.eval", "subprocess.call", "workers.runner.os.system", ""],
)
def test_an_rq_job_of_any_other_function_is_refused(
    redis_client: Redis, tmp_path: Path, function: str
) -> None:
    job = _hash(redis_client, "evil-1", data=_data(function, str(tmp_path / "run")))

    with pytest.raises(TicketRefusedError, match="evil-1 is not a ticket"):
        job.perform()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_job_does_not_even_import_its_module(redis_client: Redis) -> None:
    job = _hash(redis_client, "evil-1", data=_data("antigravity.geohash", 1))

    with pytest.raises(TicketRefusedError):
        job.perform()
    assert "antigravity" not in sys.modules


def test_a_method_of_an_instance_and_named_arguments_are_refused(redis_client: Redis) -> None:
    method = _hash(redis_client, "a-1", data=_data(tickets.RUN, "x", 1, instance={"a": 1}))
    named = _hash(redis_client, "b-1", data=_data(tickets.RUN, "x", 1, seq=2))

    for job in (method, named):
        with pytest.raises(TicketRefusedError):
            job.perform()


def test_a_pickled_payload_is_not_unpickled(redis_client: Redis, tmp_path: Path) -> None:
    bomb = tmp_path / "unpickled"
    data = zlib.compress(pickle.dumps((tickets.RUN, None, (_Bomb(bomb),), {})))
    job = _hash(redis_client, "evil-1", data=data)

    with pytest.raises(DeserializationError):
        job.perform()
    with pytest.raises(DeserializationError):
        _ = job.args
    assert not bomb.exists()


def test_every_serializer_that_rq_offers_by_itself_is_json(tmp_path: Path) -> None:
    bomb = tmp_path / "unpickled"
    for name in (None, "", "json", "pickle", "rq.serializers.PickleSerializer"):
        serializer = rq.serializers.resolve_serializer(name)
        assert serializer.loads(serializer.dumps({"a": [1]})) == {"a": [1]}
        assert json.loads(serializer.dumps({"a": [1]})) == {"a": [1]}
        with pytest.raises(UnicodeDecodeError):
            serializer.loads(pickle.dumps(_Bomb(bomb)))
    assert not bomb.exists()


def test_rqs_queues_and_jobs_use_json_when_nobody_says_so(redis_client: Redis) -> None:
    queue = Queue("llm_intent", connection=redis_client)
    job = queue.enqueue(tickets.RUN, "job", 1)

    stored = redis_client.hget(f"rq:job:{job.id}", "data")
    assert json.loads(zlib.decompress(stored)) == [tickets.RUN, None, ["job", 1], {}]  # type: ignore[arg-type]  # typed for the asynchronous client too


def test_pickled_metadata_and_results_are_not_unpickled(
    redis_client: Redis, tmp_path: Path
) -> None:
    bomb = tmp_path / "unpickled"
    pickled = pickle.dumps(_Bomb(bomb))
    for field in ("meta", "result", "dependency_ids"):
        try:
            job = _hash(redis_client, f"{field}-1", data=_data(tickets.RUN), **{field: pickled})
            _ = job.meta, job.return_value()
        except (ValueError, DeserializationError):
            continue
    assert not bomb.exists()


def test_callbacks_named_in_redis_do_not_exist(redis_client: Redis) -> None:
    job = _hash(
        redis_client,
        "job-1",
        data=_data(tickets.RUN, "job", 1),
        success_callback_name="os.mkdir",
        failure_callback_name="os.mkdir",
        stopped_callback_name="os.mkdir",
    )

    assert (job.success_callback, job.failure_callback, job.stopped_callback) == (None, None, None)
    # What RQ's workers and registries call; os.mkdir would raise a TypeError.
    execute_success_callback(job, TimerDeathPenalty, "result")
    execute_failure_callback(job, TimerDeathPenalty, ValueError, ValueError(), None)
    execute_stopped_callback(job, TimerDeathPenalty)


def test_rqs_own_worker_runs_nothing_of_a_hostile_job_and_lives(
    redis_client: Redis, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    queue = Queue("llm_intent", connection=redis_client)
    queue.enqueue(
        "os.mkdir",
        str(made),
        on_success=Callback("os.mkdir"),
        on_failure=Callback("os.mkdir"),
        retry=Retry(1),
    )

    worker = SimpleWorker([queue], connection=redis_client)
    worker.work(burst=True)

    assert not made.exists()
    (job,) = (Job.fetch(rq_id, redis_client) for rq_id in queue.failed_job_registry.get_job_ids())
    assert job.get_status() is JobStatus.FAILED


def test_webhooks_of_an_rq_job_are_never_sent(redis_client: Redis) -> None:
    job = _hash(redis_client, "job-1", data=_data(tickets.RUN, "job", 1))

    assert job.send_webhooks(status="finished", url="http://127.0.0.1:1/") is None  # type: ignore[call-arg, func-returns-value]  # replaced


def test_a_ticket_may_run_the_one_function(redis_client: Redis) -> None:
    job = make_job(Ticket("job", 1, "intent_classify", "llm_intent"), redis_client, 600, 60)

    assert job.func is import_attribute("workers.runner.run")


def test_a_ticket_holds_two_ids_and_nothing_of_its_user(redis_client: Redis) -> None:
    ticket = Ticket("job", 3, "intent_classify", "llm_intent-high")
    make_job(ticket, redis_client, 600, 86_400).save()

    job = Job.fetch("job-3", connection=redis_client, serializer="json")
    assert (job.func_name, job.args, job.kwargs) == ("workers.runner.run", ["job", 3], {})
    assert job.description == "intent_classify job"
    assert job.origin == "llm_intent-high"
    assert (job.timeout, job.result_ttl, job.failure_ttl, job.ttl) == (600, 60, 86_400, None)
    assert (job.retries_left, job.meta, job.dependency_ids) == (None, {}, [])
    assert redis_client.ttl("rq:job:job-3") == -1


@pytest.mark.parametrize("module", ["queues.dispatch", "queues.dashboard", "workers.rq_settings"])
def test_every_process_that_reads_rq_jobs_is_made_safe_by_its_imports(module: str) -> None:
    program = (
        f"import {module}, rq.serializers as s, rq.job as j;"
        "assert s.resolve_serializer(None).dumps({}) == b'{}';"
        "assert j.Job.func.fget.__name__ == '_only_run'"
    )
    environment = {**os.environ, "DATABASE_URL": "sqlite:///unused.db"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
