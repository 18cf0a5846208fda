"""What is killed, stopped or wiped loses no job, and none is done twice."""

import os
import signal
from pathlib import Path

import pytest

from queues.embedded import EmbeddedRedis

FOLLOWUP = {"message": "I want to learn the cello"}


@pytest.fixture
def slow(system):
    """A running system whose LLM takes its time, so that a job can be met in the middle."""
    system.llm.misbehave("latency", seconds=60, times=1)
    system.start_web()
    system.start_maintenance()
    return system


def in_the_middle_of_a_job(system):
    job_id = system.submit("followup", FOLLOWUP)
    system.wait(lambda: system.llm.calls, "the LLM to be asked")
    return job_id


def assert_done_once(system, job_id, attempts):
    job = system.wait_for(job_id, "completed", timeout_s=45)
    assert job["attempts"] == attempts
    assert [move for move in system.history(job_id) if move[1] == "completed"] == [
        ("processing", "completed")
    ]
    system.wait(lambda: system.notifications(job_id), "the notification")
    assert len(system.notifications(job_id)) == 1
    return job


def test_a_job_is_accepted_without_redis_and_completes_when_it_is_back_and_empty(system):
    system.start_web()
    system.start_worker("llm_followup")
    system.start_maintenance()
    first = system.submit("followup", FOLLOWUP)
    system.wait_for(first, "completed")

    system.redis.kill()
    job_id = system.submit("followup", FOLLOWUP)
    assert system.job(job_id)["status"] == "queued"

    with EmbeddedRedis(port=system.redis.port):
        assert_done_once(system, job_id, attempts=1)


def test_a_stopped_redis_delays_a_submit_by_a_second_or_two_and_loses_nothing(system):
    system.start_web()
    system.start_worker("llm_followup")
    system.start_maintenance()
    os.kill(system.redis.pid, signal.SIGSTOP)
    try:
        ids = [system.submit("followup", FOLLOWUP) for _ in range(3)]
    finally:
        os.kill(system.redis.pid, signal.SIGCONT)
    for job_id in ids:
        assert_done_once(system, job_id, attempts=1)


def test_a_killed_worker_and_its_job_are_replaced_within_45_seconds(slow):
    worker = slow.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(slow)
    horse = slow.work_horse_of(worker)

    slow.kill_group(worker)
    slow.wait(lambda: not Path(f"/proc/{horse}").exists(), "the work-horse to die with its worker")
    slow.start_worker("llm_followup")

    job = assert_done_once(slow, job_id, attempts=2)
    assert job["failures"] == 1


def test_a_killed_work_horse_is_replaced_at_once(slow):
    worker = slow.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(slow)

    os.kill(slow.work_horse_of(worker), signal.SIGKILL)

    slow.wait(lambda: slow.job(job_id)["failures"] == 1, "the loss to be counted", timeout_s=10)
    assert slow.job(job_id)["error_code"] == "worker_lost"
    assert_done_once(slow, job_id, attempts=2)


def test_a_job_that_kills_its_workers_is_ended(system):
    system.llm.misbehave("latency", seconds=60)
    system.start_web()
    system.start_maintenance()
    worker = system.start_worker("llm_followup")
    job_id = system.submit("followup", FOLLOWUP, max_attempts=2)
    for attempt in (1, 2):
        system.wait(lambda n=attempt: len(system.llm.calls) == n, f"attempt {attempt}")
        os.kill(system.work_horse_of(worker), signal.SIGKILL)

    job = system.wait_for(job_id, "error")

    assert (job["error_code"], job["failures"]) == ("worker_lost", 2)
    system.wait(lambda: system.notifications(job_id), "the failure's notification")
    assert system.notifications(job_id)[0]["message_type"] == "llm_failure"


def test_a_cancelled_job_stops_its_work_horse_and_its_answer_is_void(slow):
    worker = slow.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(slow)
    horse = slow.work_horse_of(worker)

    assert slow.post(f"/llm_jobs/{job_id}/cancel").json()["status"] == "cancelled"

    slow.wait(lambda: not Path(f"/proc/{horse}").exists(), "the work-horse to be stopped")
    next_job = slow.submit("followup", FOLLOWUP)
    assert_done_once(slow, next_job, attempts=1)
    assert slow.job(job_id)["status"] == "cancelled"
    assert slow.notifications(job_id) == []


def test_sigterm_lets_the_running_job_finish(system):
    system.llm.misbehave("latency", seconds=3, times=1)
    system.start_web()
    worker = system.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(system)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=20) == 0
    assert system.job(job_id)["status"] == "completed"


def test_a_second_sigterm_puts_the_job_back_without_a_failure(slow):
    worker = slow.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(slow)
    worker.send_signal(signal.SIGTERM)
    # RQ ignores a second signal within a second of the first.
    slow.wait(lambda: worker.send_signal(signal.SIGTERM) or worker.poll() is not None, "the end")

    slow.start_worker("llm_followup")
    job = assert_done_once(slow, job_id, attempts=2)
    assert job["failures"] == 0


def test_a_worker_survives_an_outage_of_redis_in_the_middle_of_a_job(system):
    system.llm.misbehave("latency", seconds=3, times=1)
    system.start_web()
    system.start_maintenance()
    worker = system.start_worker("llm_followup")
    job_id = in_the_middle_of_a_job(system)

    system.redis.kill()
    system.wait_for(job_id, "completed")
    with EmbeddedRedis(port=system.redis.port):
        second = system.submit("followup", FOLLOWUP)
        assert_done_once(system, second, attempts=1)
        assert_done_once(system, job_id, attempts=1)
    assert worker.poll() is None


def test_everything_is_pushed_again_after_flushall(system):
    system.start_web()
    system.start_maintenance()
    ids = [system.submit("followup", FOLLOWUP) for _ in range(20)]
    with system.connect() as redis:
        system.wait(lambda: redis.get("llm-jobs:mark"), "maintenance to set its mark")
        redis.flushall()
        system.wait(lambda: redis.llen("rq:queue:llm_followup") == 20, "the tickets to be back")
    system.start_worker("llm_followup")
    for job_id in ids:
        assert_done_once(system, job_id, attempts=1)
