import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from app.store import job_queries
from app.store.database import Database, open_database
from queues.embedded import EmbeddedRedis, free_port

QUEUES = {"llm_image_tag", "llm_intent", "llm_followup", "llm_task_match", "llm_email_extract"}
JOB = {"job_type": "followup", "payload": {"message": "hi"}}


@pytest.fixture
def stopped_redis() -> Iterator[str]:
    """A Redis that accepts connections and never answers."""
    with EmbeddedRedis() as server:
        os.kill(server.pid, signal.SIGSTOP)
        yield server.url
        os.kill(server.pid, signal.SIGCONT)


def test_health_counts_what_waits_in_every_queue(client: FlaskClient, redis_client: Redis) -> None:
    for priority in ("high", "normal", "low"):
        client.post("/llm_jobs", json=JOB | {"priority": priority})
    client.post("/llm_jobs", json=JOB | {"run_at": "2099-01-01T00:00:00Z"})
    failed = f"/llm_jobs/{client.post('/llm_jobs', json=JOB | {'priority': 'high'}).json['id']}"
    client.patch(failed, json={"status": "processing"})
    client.patch(failed, json={"status": "failed"})
    redis_client.zadd("rq:wip:llm_followup-low", {"some-1:x": time.time() + 60})
    response = client.get("/health")
    health = response.json
    assert (response.status_code, health["status"]) == (200, "healthy")
    assert health["redis_connected"]
    assert health["database_connected"]
    assert set(health["queue_stats"]) >= QUEUES
    followup = health["queue_stats"]["llm_followup"]
    # The claimed job's ticket lies in its list still: a worker finds it void.
    assert followup.pop("queue_size") in (3, 4)
    assert followup == {"failed_jobs": 1, "scheduled_jobs": 1, "started_jobs": 1}
    assert health["queue_stats"]["llm_intent"]["queue_size"] == 0
    assert health["workers"] == {"count": 0, "active": 0}
    assert health["maintenance"] == {"last_tick_age_seconds": None}


def test_without_redis_health_is_503_but_jobs_are_accepted(
    database: Database, make_app: Callable[..., Flask]
) -> None:
    client = make_app(database, f"redis://127.0.0.1:{free_port()}/0").test_client()
    response = client.get("/health")
    health = response.json
    assert (response.status_code, response.mimetype) == (503, "application/json")
    assert (health["status"], health["redis_connected"]) == ("unhealthy", False)
    assert health["database_connected"] is True
    assert health["queue_stats"]["llm_intent"]["queue_size"] is None
    assert health["queue_stats"]["llm_intent"]["failed_jobs"] == 0
    assert health["workers"] == {"count": None, "active": None}
    assert client.get("/health/ready").status_code == 200


def test_a_redis_that_is_stopped_does_not_hold_health_up(
    sqlite_database: Database, stopped_redis: str, make_app: Callable[..., Flask]
) -> None:
    client = make_app(sqlite_database, stopped_redis).test_client()
    began = time.monotonic()
    response = client.get("/health")
    assert time.monotonic() - began < 2.5
    assert (response.status_code, response.json["redis_connected"]) == (503, False)


def test_a_database_that_is_stopped_does_not_hold_health_up(
    redis_url: str, make_app: Callable[..., Flask]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+psycopg://nobody@127.0.0.1:{silent.getsockname()[1]}/x"
        client = make_app(open_database(url, connect_timeout_s=20), redis_url).test_client()
        for _ in range(2):
            began = time.monotonic()
            response = client.get("/health")
            assert time.monotonic() - began < 2.5
            assert (response.status_code, response.json["database_connected"]) == (503, False)


def test_a_database_that_takes_long_to_count_is_healthy(
    sqlite_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = threading.Event()
    monkeypatch.setattr(job_queries, "waiting_counts", lambda _connection: counted.wait(30))
    response = sqlite_client.get("/health")
    counted.set()
    assert (response.status_code, response.json["database_connected"]) == (200, True)
    assert response.json["queue_stats"]["llm_intent"] == {
        "queue_size": 0,
        "failed_jobs": None,
        "scheduled_jobs": None,
        "started_jobs": 0,
    }


def test_without_a_database_health_is_503_and_not_ready_but_alive(
    redis_url: str, make_app: Callable[..., Flask], assert_problem: Callable[..., dict[str, Any]]
) -> None:
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/x"
    client = make_app(open_database(url, connect_timeout_s=1), redis_url).test_client()
    response = client.get("/health")
    health = response.json
    assert response.status_code == 503
    assert (health["redis_connected"], health["database_connected"]) == (True, False)
    assert health["queue_stats"]["llm_intent"]["failed_jobs"] is None
    assert health["queue_stats"]["llm_intent"]["queue_size"] == 0
    assert_problem(client.get("/health/ready"), 503, "database_unavailable")
    assert client.get("/health/live").json == {"status": "alive"}


def test_health_and_statistics_survive_a_schema_that_is_missing(
    tmp_path: Any, redis_url: str, make_app: Callable[..., Flask]
) -> None:
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    client = make_app(database, redis_url).test_client()
    response = client.get("/health")
    assert (response.status_code, response.json["database_connected"]) == (503, False)
    database.forget_connections()


def test_queue_statistics_count_by_status_type_and_list(client: FlaskClient) -> None:
    ids = [client.post("/llm_jobs", json=JOB).json["id"] for _ in range(3)]
    client.post(f"/llm_jobs/{ids[0]}/cancel")
    intent = {"job_type": "intent_classify", "payload": {"query": "x"}, "priority": "low"}
    client.post("/llm_jobs", json=intent | {"run_at": "2099-01-01T00:00:00Z"})
    stats = client.get("/admin/queue-stats").json
    assert set(stats["jobs"]) == {
        "queued",
        "processing",
        "completed",
        "failed",
        "error",
        "cancelled",
    }
    assert (stats["jobs"]["queued"], stats["jobs"]["cancelled"]) == (3, 1)
    assert stats["oldest_queued_age_seconds"] >= 0
    assert stats["by_type"]["followup"]["jobs"]["queued"] == 2
    assert stats["by_type"]["intent_classify"]["oldest_queued_age_seconds"] == 0
    assert set(stats["by_queue"]) == {"llm_followup", "llm_intent-low"}


def test_statistics_of_nothing_are_zeros(client: FlaskClient) -> None:
    stats = client.get("/admin/queue-stats").json
    assert set(stats["jobs"].values()) == {0}
    assert (stats["oldest_queued_age_seconds"], stats["by_type"], stats["by_queue"]) == (
        None,
        {},
        {},
    )
