"""The same on PostgreSQL, with several workers, one of which is killed on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.conftest import System, make_system


@pytest.fixture
def system(tmp_path: Path, postgres_url: str) -> Iterator[System]:
    yield from make_system(tmp_path, postgres_url)


def test_thirty_jobs_complete_once_each_although_a_worker_is_killed(system):
    system.start_web()
    system.start_maintenance()
    system.llm.misbehave("latency", seconds=0.2)
    victim = system.start_worker("llm_followup")
    jobs = [
        {"job_type": "followup", "payload": {"message": f"number {n}"}, "user_id": n}
        for n in range(30)
    ]
    ids = system.post("/llm_jobs/batch", jobs).json()["jobs"]
    system.wait(lambda: len(system.llm.calls) >= 3, "the work to begin")

    system.kill_group(victim)
    for _ in range(2):
        system.start_worker("llm_followup")

    for job_id in ids:
        system.wait_for(job_id, "completed", timeout_s=60)
        moves = system.history(job_id)
        assert moves.count(("processing", "completed")) == 1
    system.wait(
        lambda: all(len(system.notifications(job_id)) == 1 for job_id in ids),
        "one notification for each",
    )
    assert len(system.llm.calls) <= 31
