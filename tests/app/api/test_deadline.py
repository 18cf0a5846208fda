import threading
import time

from app.api.deadline import Bounded


def test_an_answer_in_time_is_given() -> None:
    bounded = Bounded(lambda: 42, timeout_s=5)
    assert (bounded.ask(), bounded.ask()) == (42, 42)


def test_a_question_without_an_answer_is_given_up_and_asked_only_once() -> None:
    answered = threading.Event()
    asked = []

    def question() -> str:
        asked.append(1)
        answered.wait(30)
        return "late"

    bounded = Bounded(question, timeout_s=0.1)
    began = time.monotonic()
    assert [bounded.ask() for _ in range(3)] == [None, None, None]
    assert time.monotonic() - began < 5
    assert len(asked) == 1
    answered.set()
    deadline = time.monotonic() + 10
    while bounded.ask() is None:
        assert time.monotonic() < deadline, "it is asked again once the first answer is there"
