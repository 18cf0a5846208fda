"""Re-asks, and what is accounted for."""

from typing import Any

import pytest

from app.store.rows import Usage
from workers.llm import InvalidAnswer, LLMError

GOOD_TEXT = '{"label": "yes", "confidence": 0.5}'


def test_the_second_answer_may_be_right(llm: Any, client: Any, make_ask: Any, wire: Any) -> None:
    llm.says("yes, half sure", GOOD_TEXT)
    completion = client.complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)
    assert completion.calls == 2
    assert completion.usage == Usage(14, 10, 24)
    assert len(completion.messages) == 4


def test_a_wrong_answer_after_a_truncated_one_has_its_own_re_ask_and_no_more(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.replies(
        llm.completion("{", finish_reason="length"), llm.completion("no"), llm.completion("no")
    )
    with pytest.raises(InvalidAnswer):
        client.complete(make_ask(max_tokens=10))
    assert [request["max_tokens"] for request in llm.requests] == [10, 20, 20]
    assert [len(request["messages"]) for request in llm.requests] == [2, 2, 4]


def test_alternating_faults_end(llm: Any, client: Any, make_ask: Any) -> None:
    cut, wrong = llm.completion("{", finish_reason="length"), llm.completion("no")
    llm.replies(wrong, cut, wrong, cut, wrong)
    with pytest.raises(LLMError):
        client.complete(make_ask())
    assert len(llm.requests) == 3


def test_an_empty_reply_is_corrected_within_the_users_message(
    llm: Any, client: Any, make_ask: Any
) -> None:
    """Servers refuse an empty assistant message, and two of the user's in a row."""
    llm.says("", GOOD_TEXT)
    completion = client.complete(make_ask(user="the question"))
    assert [message["role"] for message in completion.messages] == ["system", "user"]
    assert completion.messages[1]["content"].startswith("the question\n\nYour reply could not")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ({}, Usage()),
        ("many", Usage()),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(prompt_tokens=3)),
        ({"prompt_tokens": "3", "completion_tokens": 2.5, "total_tokens": True}, Usage()),
        ({"prompt_tokens": -1, "total_tokens": 10**30}, Usage()),
        ({"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}, Usage(0, 4, 4)),
    ],
)
def test_usage_that_is_missing_or_makes_no_sense_is_null(
    llm: Any, client: Any, make_ask: Any, usage: Any, expected: Usage
) -> None:
    llm.says(GOOD_TEXT, usage=usage)
    assert client.complete(make_ask()).usage == expected


def test_usage_is_summed_over_the_calls_that_reported_it(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.replies(llm.completion("no", usage=None), llm.completion(GOOD_TEXT))
    assert client.complete(make_ask()).usage == Usage(7, 5, 12)


@pytest.mark.parametrize(
    ("model", "expected"), [("tiny-2", "tiny-2"), ("", None), (7, None), (None, None)]
)
def test_the_model_that_answered_is_recorded(
    llm: Any, client: Any, make_ask: Any, model: Any, expected: str | None
) -> None:
    llm.says(GOOD_TEXT, model=model)
    assert client.complete(make_ask()).model == expected


def test_what_failed_is_accounted_for(llm: Any, client: Any, make_ask: Any) -> None:
    llm.says("first", "second")
    with pytest.raises(InvalidAnswer) as caught:
        client.complete(make_ask())
    error = caught.value
    assert (error.model, error.usage, error.calls) == ("tiny-1", Usage(14, 10, 24), 2)
    assert error.text == "second"
    assert error.messages == llm.requests[1]["messages"]


def test_what_an_http_error_followed_is_accounted_for(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(llm.completion("first"), llm.error(500, "boom"))
    with pytest.raises(LLMError) as caught:
        client.complete(make_ask())
    error = caught.value
    assert (error.code, error.calls, error.text) == ("llm_server_error", 2, "first")
    assert error.usage == Usage(7, 5, 12)


@pytest.mark.parametrize("has_answer", [True, False])
def test_a_reply_of_excessive_length_is_invalid_and_kept_in_part(
    llm: Any, client: Any, make_ask: Any, wire: Any, has_answer: bool
) -> None:
    llm.says("x" * 300_000)
    with pytest.raises(InvalidAnswer, match="over 200000") as caught:
        client.complete(make_ask(answer=wire.verdict if has_answer else None))
    assert caught.value.text == "x" * 200_000
