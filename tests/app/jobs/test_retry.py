import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.retry import End, Past, Retry, backoff_s, decide
from app.jobs.status import JobStatus

DAY_S = 86_400.0


def _past(**fields: float) -> Past:
    defaults = {"failures": 0, "max_attempts": 5, "deferrals": 0, "deferred_for_s": 0.0}
    return Past(**(defaults | fields))  # type: ignore[arg-type]  # numbers of both kinds


def test_what_cannot_help_is_not_tried_again() -> None:
    assert decide("permanent", _past(), deferral_ttl_s=DAY_S) == End(JobStatus.ERROR, counted=False)


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_a_counted_failure_is_retried_while_attempts_are_left(failures: int) -> None:
    decision = decide("counted", _past(failures=failures), deferral_ttl_s=DAY_S)

    assert isinstance(decision, Retry)
    assert decision.counted


@pytest.mark.parametrize(("failures", "max_attempts"), [(4, 5), (0, 1), (7, 5)])
def test_the_last_counted_failure_ends_the_job(failures: int, max_attempts: int) -> None:
    past = _past(failures=failures, max_attempts=max_attempts)

    assert decide("counted", past, deferral_ttl_s=DAY_S) == End(JobStatus.FAILED, counted=True)


def test_an_outage_of_the_llm_costs_no_attempt() -> None:
    past = _past(failures=4, deferrals=1_000, deferred_for_s=DAY_S - 1)
    decision = decide("uncounted", past, deferral_ttl_s=DAY_S)

    assert isinstance(decision, Retry)
    assert not decision.counted
    assert 15 <= decision.wait_s <= 45


def test_an_outage_that_lasts_too_long_ends_the_job() -> None:
    past = _past(deferrals=1_000, deferred_for_s=DAY_S)

    assert decide("uncounted", past, deferral_ttl_s=DAY_S) == End(JobStatus.FAILED, counted=False)


@pytest.mark.parametrize(("asked_s", "wait_s"), [(120.0, 120.0), (0.0, 1.0), (-5.0, 1.0)])
def test_the_servers_wish_is_followed_but_never_under_a_second(
    asked_s: float, wait_s: float
) -> None:
    decision = decide("uncounted", _past(), deferral_ttl_s=DAY_S, wait_s=asked_s)

    assert decision == Retry(wait_s, counted=False)


@given(failures=st.integers(-1, 10_000), seed=st.integers())
def test_a_backoff_is_never_under_a_second_nor_far_over_half_a_minute(
    failures: int, seed: int
) -> None:
    assert 1.0 <= backoff_s(failures, random.Random(seed)) <= 45.0


def test_the_backoff_doubles_up_to_thirty_seconds() -> None:
    middle = [_Middle().wait_s(failures) for failures in range(1, 9)]

    assert middle == [1, 2, 4, 8, 16, 30, 30, 30]


class _Middle(random.Random):
    """No jitter: the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2

    def wait_s(self, failures: int) -> float:
        return backoff_s(failures, self)


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    rng = random.Random(1)

    assert len({backoff_s(5, rng) for _ in range(50)}) == 50
