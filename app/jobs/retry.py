"""What becomes of a job after an attempt that did not complete: the policies and the backoff."""

import random
from dataclasses import dataclass
from typing import Literal

from app.jobs.status import JobStatus

Policy = Literal["counted", "uncounted", "permanent"]
"""``counted`` uses up one of the job's attempts, ``uncounted`` does not, ``permanent`` ends it."""

FIRST_S = 1.0
LONGEST_S = 30.0


@dataclass(frozen=True)
class Retry:
    """Queue the job again after ``wait_s`` seconds."""

    wait_s: float
    counted: bool


@dataclass(frozen=True)
class End:
    """End the job as ``failed`` (attempts used up) or ``error`` (retrying cannot help)."""

    status: JobStatus
    counted: bool


@dataclass(frozen=True)
class Past:
    """What the job has behind it when an attempt ends badly."""

    failures: int
    max_attempts: int
    deferrals: int
    """Uncounted attempts in a row."""
    deferred_for_s: float
    """Since the first of them."""


def decide(
    policy: Policy, past: Past, *, deferral_ttl_s: float, wait_s: float | None = None
) -> Retry | End:
    """What to do after an attempt that ended with ``policy``.

    ``wait_s`` is what the server asked for, if it did. Uncounted attempts go on until
    ``deferral_ttl_s`` has passed since the first of them; then the job is ``failed``.
    """
    if policy == "permanent":
        return End(JobStatus.ERROR, counted=False)
    if policy == "uncounted":
        if past.deferred_for_s >= deferral_ttl_s:
            return End(JobStatus.FAILED, counted=False)
        wait_s = backoff_s(past.deferrals + 1) if wait_s is None else max(FIRST_S, wait_s)
        return Retry(wait_s, counted=False)
    failures = past.failures + 1
    if failures >= past.max_attempts:
        return End(JobStatus.FAILED, counted=True)
    return Retry(backoff_s(failures), counted=True)


def backoff_s(failures: int, rng: random.Random | None = None) -> float:
    """Seconds to wait after the ``failures``-th failure in a row (counted from 1).

    1 s, doubling to 30 s, times a random factor from 0.5 to 1.5 so that jobs that failed
    together do not come back together; never under 1 s.
    """
    base = min(LONGEST_S, FIRST_S * 2.0 ** min(max(failures, 1) - 1, 10))
    factor = (rng or random).uniform(0.5, 1.5)
    return max(FIRST_S, base * factor)
