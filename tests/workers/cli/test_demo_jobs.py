"""The sample run's verdict. What it does when all goes well: tests/flow."""

import json
from contextlib import closing
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.cli import demo_jobs
from workers.cli.demo_jobs import SampleRun
from workers.cli.supervisor import ChildEndedError


class _Api:
    """Answers each POST with an id and each GET of a job with ``job``."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self.posted: list[tuple[str, Any]] = []

    def pages(self, _path: str, **_params: object) -> list[dict[str, Any]]:
        return []

    def post(self, path: str, body: Any) -> dict[str, Any]:
        self.posted.append((path, body))
        return {"id": f"id-{len(self.posted)}", "job_type": body.get("job_type"), **self._job}

    def get(self, path: str) -> dict[str, Any]:
        return {"id": path.rpartition("/")[2], "job_type": "followup", **self._job}


@pytest.fixture
def run_samples(make_settings, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """Runs the samples against an API whose jobs all look like ``job``."""
    monkeypatch.setattr(demo_jobs, "_NOTIFIED_WITHIN_S", 0.5)

    def run_samples(job: dict[str, Any], check=lambda: None) -> bool:
        settings = make_settings(REDIS_URL=redis_url)
        with closing(SampleRun(_Api(job), settings, check)) as run:  # type: ignore[arg-type]  # what it calls is there
            run.submit()
            run.wait(0.5)
            run.print_results()
            return run.is_success

    return run_samples


_JOB = {"status": "completed", "result": {"a": 1}, "model": "m", "error_message": None}


def test_a_notification_that_does_not_arrive_is_no_success(
    run_samples, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_samples(_JOB) is False
    assert "0 of 5 notifications arrived" in capsys.readouterr().out


def test_a_job_without_a_result_needs_no_notification(run_samples) -> None:
    assert run_samples(_JOB | {"result": None}) is True


def test_a_failed_job_is_shown_with_its_error_and_is_no_success(
    run_samples, redis_client: "Redis[bytes]", capsys: pytest.CaptureFixture[str]
) -> None:
    def notify_all() -> None:
        for number in range(1, 20):
            document = json.dumps({"job_id": f"id-{number}"})
            redis_client.xadd("notify:telegram", {"data": document})

    failed = {"status": "failed", "result": None, "error_message": "no JSON in the answer"}
    assert run_samples(_JOB | failed, notify_all) is False
    output = capsys.readouterr().out
    assert "no JSON in the answer" in output
    assert "5 of 5 notifications arrived" in output


def test_jobs_that_are_not_done_in_time_are_counted(
    run_samples, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_samples(_JOB | {"status": "queued", "result": None}) is False
    assert "5 jobs are not done after 0 s." in capsys.readouterr().err


def test_a_redis_that_dies_is_told_by_the_check_and_not_by_a_traceback(
    run_samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_args: object, **_options: object) -> None:
        raise RedisConnectionError

    def find_it_dead() -> None:
        if not is_alive.pop(0):
            raise ChildEndedError("the embedded Redis has ended")

    is_alive = [True, False]
    monkeypatch.setattr(Redis, "xrange", break_off)
    with pytest.raises(ChildEndedError):
        run_samples(_JOB, find_it_dead)
