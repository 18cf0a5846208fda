"""Forks and signals at the worst moment."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.factories import (
    add_job,
    row_of,
)
from tests.followups import FOLLOWUP, push
from workers import worker as worker_module
from workers.leases import Lease
from workers.worker import LLMWorker

# -- forks ----------------------------------------------------------------------------------------


def test_a_lease_that_is_still_being_written_does_not_lock_the_next_work_horse_out(
    sqlite_database, drain, redis, llm, monkeypatch
):
    def extend_slowly(self: Lease) -> None:
        if self._job_id != job_ids[0]:
            return
        while row_of(sqlite_database, job_ids[0]).status != "completed":
            time.sleep(0.01)
        with self._database.begin():
            time.sleep(1.5)

    monkeypatch.setattr(worker_module, "BEAT_S", 0.1)
    monkeypatch.setattr("workers.runner.CLAIM_PATIENCE_S", 0.1)
    monkeypatch.setattr(Lease, "extend", extend_slowly)
    llm.misbehave("latency", seconds=0.3)
    job_ids = [add_job(sqlite_database, **FOLLOWUP) for _ in range(2)]
    push(redis, *job_ids)

    drain()

    assert [row_of(sqlite_database, job_id).status for job_id in job_ids] == ["completed"] * 2


# -- signals --------------------------------------------------------------------------------------


def test_a_second_sigterm_before_the_watch_has_begun_puts_the_job_back(
    sqlite_database, drain, redis, llm, monkeypatch
):
    def killed_meanwhile(self: LLMWorker, *_: Any) -> None:
        while row_of(sqlite_database, job_id).status == "queued":
            time.sleep(0.02)
        self.request_stop(signal.SIGTERM, None)
        time.sleep(1.1)
        self.request_force_stop(signal.SIGTERM, None)

    monkeypatch.setattr(LLMWorker, "_start_beats", killed_meanwhile)
    llm.misbehave("latency", seconds=30)
    job_id = add_job(sqlite_database, **FOLLOWUP)
    push(redis, job_id)

    with pytest.raises(SystemExit):
        drain()

    row = row_of(sqlite_database, job_id)
    assert (row.status, row.failures) == ("queued", 0)


def test_a_work_horse_that_a_signal_hits_at_its_birth_does_not_become_a_worker(
    sqlite_database, drain, redis, monkeypatch, tmp_path
):
    def hit(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(LLMWorker, "main_work_horse", hit)
    push(redis, add_job(sqlite_database, **FOLLOWUP))
    parent = os.getpid()
    try:
        drain()
    finally:
        if os.getpid() != parent:
            Path(tmp_path, "escaped").touch()
            os._exit(1)

    assert not Path(tmp_path, "escaped").exists()
