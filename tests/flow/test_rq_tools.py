"""RQ's own commands, typed as a person would, and what hostile tickets cannot do."""

import os
import pickle
import re
import signal
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from tests.flow.conftest import ROOT

FOLLOWUP = {"message": "I want to learn the cello"}


@pytest.fixture
def web(system):
    """A system with its API alone."""
    system.start_web()
    return system


def test_a_worker_without_flags_drains_both_queues_and_all_priorities(web):

    ids = [
        web.submit("followup", FOLLOWUP, priority=priority)
        for priority in ("low", "normal", "high")
    ]
    ids.append(web.submit("intent_classify", {"query": "remind me to water the plants at 6pm"}))

    web.run("rq", "worker", "-b", "llm_followup", "llm_intent")

    jobs = {job_id: web.job(job_id) for job_id in ids}
    assert {job["status"] for job in jobs.values()} == {"completed"}
    low, normal, high = (jobs[job_id]["started_at"] for job_id in ids[:3])
    assert high < normal < low


def test_rq_info_lists_the_queues_and_the_worker(web):
    worker = web.start_worker()

    printed = web.run("rq", "info")

    for queue in ("llm_image_tag", "llm_intent", "llm_followup", "llm_task_match"):
        assert queue in printed
    assert "1 workers" in printed
    assert f" {worker.pid})" in printed
    by_queue = web.run("rq", "info", "--by-queue")
    assert re.search(rf"llm_intent: +\S+{worker.pid}\S* ", by_queue)


def test_a_worker_pool_works_without_flags(web):
    ids = [web.submit("followup", FOLLOWUP) for _ in range(6)]

    web.run("rq", "worker-pool", "-b", "llm_followup", "-n", "2")

    assert {web.job(job_id)["status"] for job_id in ids} == {"completed"}


def test_suspended_workers_wait_and_go_on(web):
    worker = web.start_worker("llm_followup")
    web.run("rq", "suspend")
    job_id = web.submit("followup", FOLLOWUP)
    with web.connect() as redis:
        (key,) = redis.smembers("rq:workers")
        web.wait(lambda: redis.hget(key, "state") == b"suspended", "the worker to suspend")
    assert worker.poll() is None

    web.run("rq", "resume")

    web.wait_for(job_id, "completed")


def test_a_worker_started_while_suspended_waits_too(web):
    web.run("rq", "suspend")
    job_id = web.submit("followup", FOLLOWUP)
    worker = web.start_worker("llm_followup")
    assert worker.poll() is None

    web.run("rq", "resume")

    web.wait_for(job_id, "completed")


def test_emptying_a_queue_with_rq_loses_nothing(web):
    job_id = web.submit("followup", FOLLOWUP)
    web.run("rq", "empty", "llm_followup")
    # The lost ticket is found by its age: move the job's dispatch into the past.
    from sqlalchemy import text

    from app.store.database import open_database

    database = open_database(web.environment["DATABASE_URL"])
    with database.begin() as connection:
        connection.execute(text("UPDATE jobs SET dispatched_at = '2020-01-01 00:00:00.000000'"))
    database.forget_connections()
    web.start_worker("llm_followup")
    web.start_maintenance()
    web.wait_for(job_id, "completed")


def push_raw(redis: Redis, name: str, data: bytes, **fields: str) -> None:
    redis.hset(
        f"rq:job:{name}",
        mapping={"data": data, "origin": "llm_followup", "status": "queued", "timeout": "60"}
        | {"created_at": "2026-01-01T00:00:00.000000Z"}
        | fields,
    )
    redis.rpush("rq:queue:llm_followup", name)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_hostile_tickets_run_nothing_and_the_worker_lives(web, tmp_path):
    proof = tmp_path / "proof"
    call = f'["os.mkdir", null, ["{proof}"], {{}}]'.encode()
    good = b'["workers.runner.run", null, ["none", 1], {}]'
    with web.connect() as redis:
        push_raw(redis, "evil-call-1", call)
        push_raw(redis, "evil-pickle-1", pickle.dumps(Bomb(str(proof))))
        push_raw(redis, "evil-meta-1", good, meta=pickle.dumps(Bomb(str(proof))))
        for kind in ("success", "failure", "stopped"):
            push_raw(redis, f"evil-{kind}-1", good, **{f"{kind}_callback_name": "os.abort"})
        push_raw(redis, "evil-args-1", b'["workers.runner.run", null, [{"a": 1}, "x"], {}]')
    worker = web.start_worker("llm_followup")

    job_id = web.submit("followup", FOLLOWUP)

    web.wait_for(job_id, "completed")
    web.run("rq", "info")
    assert worker.poll() is None
    assert not proof.exists()
    assert {"evil-call-1", "evil-pickle-1"} <= set(web.failed_tickets("llm_followup"))


def test_a_worker_pool_ends_with_its_parent(web):
    pool = web.start("rq", "worker-pool", "llm_followup", "-n", "2")
    with web.connect() as redis:
        web.wait(lambda: redis.scard("rq:workers") == 2, "two workers")
        pids = [int(redis.hget(key, "pid")) for key in redis.smembers("rq:workers")]

    os.kill(pool.pid, signal.SIGKILL)

    def gone():
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    web.wait(gone, "the workers' end")


def test_a_wrong_environment_stops_a_worker_with_every_error(web):
    worker = web.start("rq", "worker", LLM_TIMEOUT="soon", PORT="0", RQ_REDIS_URL="redis://x")
    assert worker.wait(timeout=30) != 0
    printed = "".join(p.read_text() for p in web.folder.glob("*-rq.log"))
    for name in ("LLM_TIMEOUT", "PORT", "RQ_REDIS_URL"):
        assert name in printed


def test_a_shell_that_has_sourced_the_env_file_has_what_rq_needs(web):
    needed = {
        name: web.environment[name]
        for name in ("DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "IMAGE_DIR")
    }
    lines = (ROOT / ".env.example").read_text().splitlines()
    filled = [
        f"{line.split('=')[0]}={needed.get(line.split('=')[0], line.partition('=')[2])}"
        if "=" in line and not line.startswith("#")
        else line
        for line in lines
    ]
    env_file = web.folder / ".env"
    env_file.write_text("\n".join(filled))
    job_id = web.submit("intent_classify", {"query": "remind me to water the plants at 6pm"})
    bad_id = web.submit("image_tag", {"memory_id": "m1", "image_path": "missing.jpg"})

    command = f"set -a; . {env_file}; rq worker -b llm_image_tag llm_intent && rq info"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={"PATH": web.environment["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "llm_image_tag" in done.stdout
    assert (web.job(job_id)["status"], web.job(bad_id)["status"]) == ("completed", "error")
