import logging
import threading
import time

import pytest

from workers.beat import Beat, bounded


def test_a_beat_calls_its_action_again_and_again() -> None:
    beaten = threading.Semaphore(0)
    beat = Beat("lease", 0.01, beaten.release)
    beat.start()
    try:
        for _ in range(3):
            assert beaten.acquire(timeout=10)
    finally:
        beat.stop()
    beat.join(timeout=10)
    assert not beat.is_alive()


def test_a_beat_waits_for_its_interval_first() -> None:
    calls: list[int] = []
    beat = Beat("lease", 3_600, lambda: calls.append(1))
    beat.start()
    beat.stop(patience_s=10)

    assert not beat.is_alive()
    assert calls == []


def test_a_missed_beat_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    beaten = threading.Semaphore(0)

    def fail() -> None:
        beaten.release()
        raise ConnectionError("the password is x")

    beat = Beat("lease", 0.01, fail)
    with caplog.at_level(logging.WARNING):
        beat.start()
        for _ in range(2):
            assert beaten.acquire(timeout=10)
        beat.stop(patience_s=10)

    assert caplog.messages[0] == "lease: a beat was missed: ConnectionError"


def test_a_beat_that_hangs_is_left_behind() -> None:
    hanging, released = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        released.wait(timeout=30)

    beat = Beat("lease", 0.01, hang)
    beat.start()
    assert hanging.wait(timeout=10)
    started = time.monotonic()
    beat.stop(patience_s=0.1)

    assert time.monotonic() - started < 5
    assert beat.is_alive()
    assert beat.daemon, "it must not keep the process alive"
    released.set()
    beat.join(timeout=10)


def test_a_bounded_action_is_waited_for() -> None:
    done: list[int] = []
    bounded("ending", lambda: done.append(1), patience_s=10)

    assert done == [1]


def test_a_bounded_action_is_not_waited_for_longer_than_that() -> None:
    released = threading.Event()
    started = time.monotonic()
    bounded("ending", lambda: released.wait(timeout=30), patience_s=0.1)

    assert time.monotonic() - started < 5
    released.set()


def test_a_bounded_action_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ConnectionError("the password is x")

    with caplog.at_level(logging.WARNING):
        bounded("ending the lease", fail, patience_s=10)

    assert caplog.messages == ["ending the lease failed: ConnectionError"]
