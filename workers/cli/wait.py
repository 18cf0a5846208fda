"""Waits until jobs have reached a final state."""

import time
from collections.abc import Sequence
from typing import Any

from workers.cli.api_client import ApiClient
from workers.cli.output import progress

ONE_CALL_S = 20
_FINAL = ("completed", "failed", "error", "cancelled")


def wait_for(api: ApiClient, job_ids: Sequence[str], timeout_s: float) -> list[dict[str, Any]]:
    """The jobs in the given order, each final, or as it stands when ``timeout_s`` is over."""
    deadline = time.monotonic() + timeout_s
    jobs = []
    with progress("waiting", len(job_ids)) as advance:
        for job_id in job_ids:
            job = _wait_for_one(api, job_id, deadline)
            jobs.append(job)
            advance(f"{job['job_type']} {job['status']}")
    return jobs


def _wait_for_one(api: ApiClient, job_id: str, deadline: float) -> dict[str, Any]:
    while True:
        # The server holds the answer back, so this loop turns once in 20 s, or at the deadline.
        left_s = max(0.0, deadline - time.monotonic())
        wait_s = min(ONE_CALL_S, left_s)
        job: dict[str, Any] = api.get(f"/llm_jobs/{job_id}", wait_s=wait_s, wait=round(wait_s, 1))
        if job["status"] in _FINAL or time.monotonic() >= deadline:
            return job
