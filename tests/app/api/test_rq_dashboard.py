import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from rq import Queue, Worker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry

from app.store.database import Database
from queues.embedded import free_port
from queues.ticket import Ticket
from queues.tickets import make_job

AssertProblem = Callable[..., dict[str, Any]]
JOB = {"job_type": "followup", "payload": {"message": "hi"}}
LIST = "llm_followup"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def fail_ticket(redis_client: Redis) -> Callable[[str], Job]:
    """Put a ticket into the failed registry, as a worker does."""

    def fail(job_id: str) -> Job:
        job = make_job(Ticket(job_id, 1, "followup", LIST), redis_client, 60, 3_600)
        job.save()
        job.set_status(JobStatus.FAILED)
        FailedJobRegistry(LIST, connection=redis_client).add(job, ttl=3_600)
        redis_client.sadd("rq:queues", f"rq:queue:{LIST}")
        return job

    return fail


def waiting(redis_client: Redis) -> list[str]:
    return list(Queue(LIST, connection=redis_client).get_job_ids())


def test_the_pages_show_tickets_as_ids_alone(
    sqlite_client: FlaskClient, fail_ticket: Callable[[str], Job]
) -> None:
    submitted = sqlite_client.post("/llm_jobs", json=JOB).json["id"]
    fail_ticket("broken")
    page = sqlite_client.get("/rq/")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    (queue,) = sqlite_client.get("/rq/0/data/queues.json").json["queues"]
    assert (queue["name"], queue["count"], queue["failed_job_registry_count"]) == (LIST, 1, 1)
    assert sqlite_client.get(queue["queued_url"]).status_code == 200
    data = sqlite_client.get(f"/rq/0/data/jobs/{LIST}/queued/8/asc/1.json").json
    assert [ticket["description"] for ticket in data["jobs"]] == [f"followup {submitted}"]
    data = sqlite_client.get(f"/rq/0/data/jobs/{LIST}/failed/8/dsc/1.json").json
    assert [ticket["id"] for ticket in data["jobs"]] == ["broken-1"]
    assert sqlite_client.get("/rq/0/view/job/broken-1").status_code == 200
    ticket = sqlite_client.get("/rq/0/data/job/broken-1.json").json
    assert (ticket["status"], ticket["origin"], ticket["result"]) == ("failed", LIST, None)
    assert "hi" not in str(ticket).split()


def test_workers_and_what_they_run_are_shown(
    sqlite_client: FlaskClient, redis_client: Redis
) -> None:
    job_id = sqlite_client.post("/llm_jobs", json=JOB).json["id"]
    worker = Worker([LIST], connection=redis_client, name="one", serializer="json")
    worker.register_birth()
    worker.prepare_execution(Job.fetch(f"{job_id}-1", redis_client))
    assert sqlite_client.get("/rq/0/view/workers").status_code == 200
    (shown,) = sqlite_client.get("/rq/0/data/workers.json").json["workers"]
    assert (shown["name"], shown["queues"]) == ("one", [LIST])
    assert shown["current_job"]["description"] == f"followup {job_id}"


def test_a_ticket_with_dependencies_is_shown(
    sqlite_client: FlaskClient, redis_client: Redis, fail_ticket: Callable[[str], Job]
) -> None:
    job = fail_ticket("child")
    fail_ticket("parent")
    redis_client.sadd(job.dependencies_key, "parent-1", "gone-1")
    ticket = sqlite_client.get("/rq/0/data/job/child-1.json").json
    found = dict(zip(ticket["depends_on"], ticket["depends_on_status"], strict=True))
    assert found == {"parent-1": "active", "gone-1": "expired"}


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/rq/0/view/job/gone-1"),
        ("GET", "/rq/0/data/job/gone-1.json"),
        ("POST", "/rq/job/gone-1/requeue"),
    ],
)
def test_a_ticket_that_is_gone_is_404(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, method: str, address: str
) -> None:
    response = sqlite_client.open(address, method=method, headers=FROM_HERE)
    assert "no such ticket" in assert_problem(response, 404, "not_found")["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/rq/1/view/queues",
        "/rq/7/data/queues.json",
        f"/rq/0/data/jobs/{LIST}/lost/8/asc/1.json",
        f"/rq/0/data/jobs/{LIST}/queued/0/asc/1.json",
        f"/rq/0/data/jobs/{LIST}/queued/x/asc/1.json",
        f"/rq/0/data/jobs/{LIST}/queued/8/asc/0.json",
        f"/rq/0/view/jobs/{LIST}/queued/99999999/asc/1",
        "/rq/0/view/jobs/a'b/queued/8/asc/1",
        "/rq/0/view/jobs/a%5C/queued/8/asc/1",
    ],
)
def test_an_address_that_makes_no_sense_is_404(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, address: str
) -> None:
    assert_problem(sqlite_client.get(address), 404, "not_found")


def test_requeueing_by_a_link_is_refused(
    sqlite_client: FlaskClient,
    redis_client: Redis,
    fail_ticket: Callable[[str], Job],
    assert_problem: AssertProblem,
) -> None:
    fail_ticket("broken")
    for method in ("GET", "HEAD"):
        response = sqlite_client.open(f"/rq/requeue/{LIST}", method=method, headers=FROM_HERE)
        assert response.status_code == 405
        assert response.headers["Allow"] == "POST"
    assert waiting(redis_client) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_only_the_dashboards_own_pages_may_change_anything(
    sqlite_client: FlaskClient,
    redis_client: Redis,
    fail_ticket: Callable[[str], Job],
    assert_problem: AssertProblem,
    headers: dict[str, str],
) -> None:
    fail_ticket("broken")
    for address in (
        f"/rq/requeue/{LIST}",
        "/rq/job/broken-1/requeue",
        "/rq/job/broken-1/delete",
        f"/rq/queue/{LIST}/failed/empty",
    ):
        assert_problem(sqlite_client.post(address, headers=headers), 403, "forbidden")
    registry = FailedJobRegistry(LIST, connection=redis_client)
    assert registry.get_job_ids(cleanup=False) == ["broken-1"]


@pytest.mark.parametrize("headers", [FROM_HERE, {"Origin": "http://localhost"}])
def test_its_own_page_requeues_a_ticket(
    sqlite_client: FlaskClient,
    redis_client: Redis,
    fail_ticket: Callable[[str], Job],
    headers: dict[str, str],
) -> None:
    fail_ticket("broken")
    response = sqlite_client.post("/rq/job/broken-1/requeue", headers=headers)
    assert (response.status_code, response.json) == (200, {"status": "OK"})
    assert waiting(redis_client) == ["broken-1"]


def test_a_ticket_that_did_not_fail_is_not_requeued(
    sqlite_client: FlaskClient, assert_problem: AssertProblem
) -> None:
    job_id = sqlite_client.post("/llm_jobs", json=JOB).json["id"]
    response = sqlite_client.post(f"/rq/job/{job_id}-1/requeue", headers=FROM_HERE)
    assert_problem(response, 409, "conflict")


def test_requeueing_all_goes_on_past_a_ticket_that_is_gone(
    sqlite_client: FlaskClient, redis_client: Redis, fail_ticket: Callable[[str], Job]
) -> None:
    for name in ("one", "two", "three"):
        fail_ticket(name)
    redis_client.delete("rq:job:two-1")
    response = sqlite_client.post(f"/rq/requeue/{LIST}", headers=FROM_HERE)
    assert response.json == {"status": "OK", "count": 2}
    assert sorted(waiting(redis_client)) == ["one-1", "three-1"]


def test_a_pickle_in_redis_is_not_loaded_by_a_page(
    sqlite_client: FlaskClient, redis_client: Redis, tmp_path: Any
) -> None:
    mark = tmp_path / "ran"
    pickle = f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode()
    fields = {"created_at": "2026-01-01T00:00:00.000000Z", "data": pickle, "meta": pickle}
    redis_client.hset("rq:job:evil-1", mapping=fields | {"origin": LIST, "status": "queued"})
    redis_client.rpush(f"rq:queue:{LIST}", "evil-1")
    redis_client.sadd("rq:queues", f"rq:queue:{LIST}")
    for address in (f"/rq/0/data/jobs/{LIST}/queued/8/asc/1.json", "/rq/0/data/job/evil-1.json"):
        sqlite_client.get(address)
    assert not mark.exists()


def test_only_the_scripts_of_the_page_itself_may_run(sqlite_client: FlaskClient) -> None:
    first, second = (sqlite_client.get("/rq/0/view/job/x-1"), sqlite_client.get("/rq/"))
    assert first.status_code == 404
    policy = second.headers["Content-Security-Policy"]
    (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
    scripts = re.findall(r"<script\b[^>]*>", second.text)
    assert scripts
    assert all(f'nonce="{nonce}"' in script for script in scripts)
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert nonce not in sqlite_client.get("/rq/").text


def test_without_redis_the_pages_say_so(
    sqlite_database: Database, make_app: Callable[..., Flask]
) -> None:
    client = make_app(sqlite_database, f"redis://127.0.0.1:{free_port()}/0").test_client()
    for address in ("/rq/", "/rq/0/data/queues.json", "/rq/0/view/workers"):
        response = client.get(address)
        assert (response.status_code, response.mimetype) == (503, "text/html")
        assert "Redis does not answer" in response.text
        assert int(response.headers["Retry-After"]) > 0
    with client.get("/rq/static/css/main.css") as response:
        assert response.status_code == 200


def test_a_redis_that_goes_away_in_the_middle_is_503_too(
    sqlite_client: FlaskClient, redis_client: Redis
) -> None:
    redis_client.sadd("rq:queues", f"rq:queue:{LIST}")
    redis_client.set(f"rq:queue:{LIST}", "not a list")
    response = sqlite_client.get("/rq/0/data/queues.json")
    assert response.status_code == 503


def test_the_pages_show_no_password(
    sqlite_database: Database, redis_url: str, make_app: Callable[..., Flask]
) -> None:
    with Redis.from_url(redis_url) as server:
        server.acl_setuser(
            "viewer", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"]
        )
        address = redis_url.replace("redis://", "redis://viewer:s3cret@")
        page = make_app(sqlite_database, address).test_client().get("/rq/")
        server.acl_deluser("viewer")
    assert page.status_code == 200
    assert "s3cret" not in page.text
