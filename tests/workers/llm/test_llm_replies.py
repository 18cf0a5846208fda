"""200s that are not what they should be, and what is made of what the LLM wrote."""

import json
from typing import Any

import pytest

from app.store.rows import Usage
from workers.llm import InvalidAnswer

GOOD_TEXT = '{"label": "yes", "confidence": 0.5}'


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        "true",
        "OK",
        "<html><body>Welcome</body></html>",
        '{"error": {"message": "overloaded", "code": 502}}',
        '{"error": "no such model"}',
        '{"choices": null}',
        '{"choices": []}',
        '{"choices": [null]}',
        '{"choices": {"0": "x"}}',
        '{"choices": [{}]}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"message": "hi"}]}',
        '{"choices": [{"message": {"content": 7}}]}',
        '{"choices": [{"error": {"code": 500}, "message": {"content": "{}"}}]}',
        '{"choices": [{"message": {"content"',
        b"\xff\xfe\x00",
        "[" * 100_000,
        'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: [DONE]\n\n',
    ],
)
def test_a_200_without_an_answer_is_invalid_and_asked_for_once_more(
    llm: Any, client: Any, make_ask: Any, body: str | bytes
) -> None:
    llm.replies(llm.body(body))
    with pytest.raises(InvalidAnswer) as caught:
        client.complete(make_ask())
    assert (caught.value.calls, len(llm.requests)) == (2, 2)
    assert "could not be used" in llm.requests[1]["messages"][-1]["content"]
    assert caught.value.usage == Usage()


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        (GOOD_TEXT, {}),
        ([{"type": "text", "text": GOOD_TEXT}], {}),
        (
            [{"type": "text", "text": GOOD_TEXT[:9]}, {"type": "text", "text": GOOD_TEXT[9:]}],
            {},
        ),
        ([GOOD_TEXT], {}),
        ([None, {"type": "thinking"}, {"text": GOOD_TEXT}, 7], {}),
        (None, {"reasoning_content": GOOD_TEXT}),
        ("", {"reasoning": GOOD_TEXT}),
        ("  \n", {"reasoning_content": None, "reasoning": GOOD_TEXT}),
        ([], {"reasoning_content": GOOD_TEXT}),
    ],
)
def test_text_is_found_wherever_a_server_puts_it(
    llm: Any, client: Any, make_ask: Any, wire: Any, content: Any, extra: dict[str, Any]
) -> None:
    llm.says(content, **extra)
    completion = client.complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)
    assert completion.text == GOOD_TEXT
    assert not completion.repaired


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("When is it?", "When is it?"),
        ("  When is it?\n", "When is it?"),
        ("<think>hm</think>\nWhen is it?", "When is it?"),
        ("When is it?<think>Or", "When is it?"),
        (["When ", {"text": "is it?"}], "When is it?"),
    ],
)
def test_plain_text_is_the_answer_without_thoughts(
    llm: Any, client: Any, make_ask: Any, content: Any, answer: str
) -> None:
    llm.says(content)
    completion = client.complete(make_ask(answer=None))
    assert completion.answer == answer
    assert not completion.repaired
    assert "response_format" not in llm.requests[0]


@pytest.mark.parametrize("content", ["", "   ", "<think>all thought", "<think>x</think>  "])
def test_plain_text_that_is_empty_is_invalid(
    llm: Any, client: Any, make_ask: Any, content: str
) -> None:
    llm.says(content)
    with pytest.raises(InvalidAnswer):
        client.complete(make_ask(answer=None))
    assert "plain text" in llm.requests[1]["messages"][-1]["content"]


def test_nul_and_broken_characters_never_reach_what_is_stored(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.says("Wh\0at\ud800?", model="m\0")
    completion = client.complete(make_ask(answer=None, user="a\ud800b"))
    assert completion.text == "Wh\ufffdat\ufffd?"
    assert completion.model == "m\ufffd"
    assert completion.messages[1]["content"] == "a\ufffdb"


def test_a_byte_order_mark_does_no_harm(llm: Any, client: Any, make_ask: Any, wire: Any) -> None:
    body = {"choices": [{"message": {"content": GOOD_TEXT}}]}
    llm.replies(llm.body(b"\xef\xbb\xbf" + json.dumps(body).encode()))
    assert client.complete(make_ask()).answer == wire.verdict(**wire.good)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded, key sk-canary-0123456789"}},
        {"error": "overloaded, key sk-canary-0123456789", "choices": []},
        {"choices": [{"error": {"message": "overloaded, key sk-canary-0123456789"}}]},
    ],
)
def test_an_error_inside_a_200_is_told_without_secrets(
    llm: Any, client: Any, make_ask: Any, body: dict[str, Any]
) -> None:
    llm.replies(llm.body(json.dumps(body)))
    with pytest.raises(InvalidAnswer, match="in place of an answer: overloaded, key") as caught:
        client.complete(make_ask())
    assert "canary" not in caught.value.message
