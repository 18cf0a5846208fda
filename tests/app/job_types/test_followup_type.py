from typing import Any

import pytest

from app.job_types.followup import JOB_TYPE, FollowupPayload, first_question
from app.jobs.job_type import AnswerUnusable

PAYLOAD = FollowupPayload(message="remind me about the thing")


def test_plain_text_is_asked_for(reading: Any, section: Any) -> None:
    ask = JOB_TYPE.ask(PAYLOAD, reading())
    assert ask.answer is None
    assert section(ask.prompt.user, "message") == "remind me about the thing"


@pytest.mark.parametrize("context", [None, "", "  \n"])
def test_a_context_that_says_nothing_is_left_out(context: str | None, reading: Any) -> None:
    payload = FollowupPayload(message="hello", context=context)
    assert "<context>" not in JOB_TYPE.ask(payload, reading()).prompt.user


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("When?", "When?"),
        ("  When should I\u00a0remind you?  \n", "When should I\u00a0remind you?"),
        ('"What thing do you mean?"', "What thing do you mean?"),
        ("\u201cWas genau meinst du?\u201d", "Was genau meinst du?"),
        ("**Which day?**", "Which day?"),
        ("- Which day?", "Which day?"),
        ("Sure, I can help.\n\nWhich day do you mean?", "Which day do you mean?"),
        ("Which day? And which hour?", "Which day?"),
        ("Which day?\nWhich hour?", "Which day?"),
        ("Is https://example.org/?q=1 the page?", "Is https://example.org/?q=1 the page?"),
        ("你是指哪一天\uff1f谢谢", "你是指哪一天\uff1f"),
        ("ماذا تقصد؟", "ماذا تقصد؟"),
        ("<think>Should I ask? Yes.</think>\nWhich day?", "Which day?"),
        ("Which\0 day?", "Which day?"),
    ],
)
def test_the_first_question_is_the_result(said: str, question: str, writing: Any) -> None:
    assert JOB_TYPE.apply(PAYLOAD, said, writing()) == {"question": question}


@pytest.mark.parametrize("said", ["", "  ", "I am sorry, I cannot help.", "?", '"?"', "\n?\n"])
def test_a_reply_without_a_question_cannot_be_used(said: str) -> None:
    with pytest.raises(AnswerUnusable, match="holds no question") as caught:
        first_question(said)
    assert caught.value.code == "invalid_answer"


def test_a_question_has_at_most_1000_characters() -> None:
    assert len(first_question("x" * 999 + "?")) == 1_000
    with pytest.raises(AnswerUnusable, match="more than 1000 characters"):
        first_question("x" * 1_000 + "?")


@pytest.mark.parametrize("message", ["", " \n ", None])
def test_a_blank_message_is_refused(message: Any, complaints: Any) -> None:
    assert "message" in complaints(FollowupPayload, {"message": message})
