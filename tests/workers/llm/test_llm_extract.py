"""JSON in what the LLM wrote: found, checked, and asked for again."""

import json
import time
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from app.job_types.registry import all_job_types
from workers.llm import InvalidAnswer

GOOD_TEXT = '{"label": "yes", "confidence": 0.5}'


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD_TEXT}\n```",
        f"```\n{GOOD_TEXT}```",
        f"Sure! Here it is: {GOOD_TEXT} Anything else?",
        f'<think>Maybe {{"label": "no", "confidence": 1}}?</think>{GOOD_TEXT}',
        f"<think>\nHm {{ }} hm\n</think>\n\n```json\n{GOOD_TEXT}\n```",
        f'First {{"label": "no", "confidence": 1}}, then corrected: {GOOD_TEXT}',
        f"{GOOD_TEXT}{GOOD_TEXT}",
        f'{{"label": "cut off, {GOOD_TEXT}',
        f"{{broken}} {{{{ {GOOD_TEXT} }}",
        f"thoughts without a beginning</think>{GOOD_TEXT}",
        f"{GOOD_TEXT}<think>was that right",
        f"[{GOOD_TEXT}]",
    ],
)
def test_json_is_cut_out_of_what_surrounds_it_and_marked_repaired(
    llm: Any, client: Any, make_ask: Any, wire: Any, text: str
) -> None:
    llm.says(text)
    completion = client.complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)
    assert completion.repaired
    assert completion.text == text
    assert completion.calls == 1


@pytest.mark.parametrize("text", [GOOD_TEXT, f"\n {GOOD_TEXT} \n"])
def test_json_alone_is_not_repaired(llm: Any, client: Any, make_ask: Any, text: str) -> None:
    llm.says(text)
    assert client.complete(make_ask()).repaired is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I would say yes.", "no complete JSON object"),
        ("[1, 2]", "no complete JSON object"),
        ('{"label": "yes"', "no complete JSON object"),
        (f"<think>{GOOD_TEXT}", "no complete JSON object"),
        (f"{GOOD_TEXT} no, <think></think>", "no complete JSON object"),
        ('{"label": "yes"}', "confidence: Field required"),
        ('{"label": 1, "confidence": 0.5}', "label: Input should be a valid string"),
        ('{"label": "yes", "confidence": "0.5"}', "confidence: Input should be a valid number"),
        ('{"label": "yes", "confidence": true}', "confidence: Input should be a valid number"),
        ('{"label": "yes", "confidence": 1.5}', "less than or equal to 1"),
        ('{"label": "yes", "confidence": -0.1}', "greater than or equal to 0"),
        ('{"label": "yes", "confidence": NaN}', "NaN is not a JSON number"),
        ('{"label": "yes", "confidence": 0.5, "x": Infinity}', "Infinity is not"),
        ('{"label": "yes", "confidence": 0.5, "x": -Infinity}', "-Infinity is not"),
        ('{"label": "yes", "confidence": 0.5, "x": 1e999}', "too large"),
        ('{"label": "y\\u0000", "confidence": 0.5}', "NUL"),
        ('{"label": "y\\ud800", "confidence": 0.5}', "broken character"),
        ('{"label": "y", "confidence": 0.5, "x": [{"y": "\\udfff"}]}', "broken character"),
        ('{"' * 90_000, "no complete JSON object"),
        ('{"a":1' * 30_000, "no complete JSON object"),
        ("{" * 150_000, "no complete JSON object"),
        ('{"a":' * 50_000, "over 200000 characters"),
        ('{"a":[' * 20_000, "no complete JSON object"),
        ('{"label": "yes", "confidence": ' + "1" * 5_000 + "}", "no complete JSON object"),
    ],
)
def test_a_wrong_answer_is_told_what_was_wrong_once(
    llm: Any, client: Any, make_ask: Any, text: str, told: str
) -> None:
    llm.says(text)
    start = time.monotonic()
    with pytest.raises(InvalidAnswer) as caught:
        client.complete(make_ask())
    assert time.monotonic() - start < 2
    assert told in caught.value.message
    assert len(llm.requests) == 2
    first, second = (request["messages"] for request in llm.requests)
    assert second[: len(first)] == first
    assert [message["role"] for message in second[len(first) :]] == ["assistant", "user"]
    assert second[-2]["content"] == text[:4000]
    assert told in second[-1]["content"]


def test_a_long_list_of_faults_is_told_in_short(llm: Any, client: Any, make_ask: Any) -> None:
    class Many(BaseModel):
        values: list[int]

    llm.says(json.dumps({"values": ["x"] * 50}))
    with pytest.raises(InvalidAnswer) as caught:
        client.complete(make_ask(answer=Many))
    assert "values.0:" in caught.value.message
    assert "and 45 more" in caught.value.message
    assert len(caught.value.message) <= 500


def test_a_root_model_is_validated_too(llm: Any, client: Any, make_ask: Any) -> None:
    llm.says('{"a": 1}')
    assert client.complete(make_ask(answer=RootModel[dict[str, int]])).answer.root == {"a": 1}


def test_the_intents_of_a_real_job_type_are_told_apart(
    llm: Any, client: Any, make_ask: Any
) -> None:
    model = all_job_types()["intent_classify"].answer_model
    llm.says('{"intent": "search", "keywords": ["wine"], "action": null}')
    completion = client.complete(make_ask(answer=model))
    assert completion.answer.root.keywords == ["wine"]
