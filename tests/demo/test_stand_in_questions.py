"""Which question is asked, and what is answered where no rule knows."""

from typing import Any

import pytest
from pydantic import BaseModel

from app.jobs.ask import Ask, Prompt
from demo.stand_in.behaviour import Behaviour, Misbehaviour
from demo.stand_in.question import UnreadableError, read_question
from demo.stand_in.rules import answer
from demo.stand_in.schema import filled, property_names, wrapped


def test_lines_that_are_no_tasks_are_left_out() -> None:
    lines = 'nonsense\n7\n{"id": 1}\n{"id": 5, "description": "buy bread"},'
    text = f"<open_tasks>\n{lines}\n</open_tasks>"
    question = read_question(
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"<memory_content>bread bought, buy</memory_content>{text}",
                }
            ]
        }
    )
    found = answer(question)
    assert isinstance(found, dict)
    assert found["matched_task_id"] == "5"


def request(user: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": user}], **more}
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return body


UNION: dict[str, Any] = {
    "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"$ref": "#/$defs/None"}],
    "$defs": {
        "A": {"properties": {"intent": {"const": "task"}, "description": {"type": "string"}}},
        "B": {"properties": {"intent": {"const": "search"}}},
        "None": 7,
    },
}


@pytest.mark.parametrize(
    ("schema", "is_wrapped"),
    [
        (UNION, False),
        (
            {"properties": {"answer": {k: UNION[k] for k in ("oneOf",)}}, "$defs": UNION["$defs"]},
            True,
        ),
        ({"properties": {"intent": {"enum": ["task"]}, "action": {}}}, False),
    ],
)
def test_an_intent_is_recognised_bare_and_wrapped(schema: Any, is_wrapped: bool) -> None:
    question = read_question(request("<message>\nbuy bread today\n</message>", schema))
    assert question.job_type == "intent_classify"
    found = answer(question)
    assert isinstance(found, dict)
    assert (found["answer"] if is_wrapped else found)["intent"] == "task"


@pytest.mark.parametrize(
    ("body", "job_type"),
    [
        (request("<query>\nx\n</query>"), "intent_classify"),
        (request("<message>\nx\n</message>"), "followup"),
        (request("<subject>\nx\n</subject><body>\ny\n</body>"), "email_extract"),
        (request("<open_tasks>\n</open_tasks>"), "task_match"),
        (request("hello"), "unknown"),
        (
            {
                "messages": [
                    {"role": "system", "content": 'Answer {"intent": ...}'},
                    {"role": "user", "content": "<message>\nx\n</message>"},
                ]
            },
            "intent_classify",
        ),
        (
            request("<note>\nx\n</note>", {"properties": {"summary": {}, "action_items": {}}}),
            "note_enrich",
        ),
    ],
)
def test_a_job_type_is_recognised_without_a_schema_too(body: dict[str, Any], job_type: str) -> None:
    assert read_question(body).job_type == job_type


@pytest.mark.parametrize(
    "image_url",
    [
        {"url": "https://example.com/cat.png"},
        {"url": "data:image/png;base64,%%%"},
        "file:///etc/passwd",
        None,
    ],
)
def test_an_image_that_is_no_data_url_is_unreadable(image_url: Any) -> None:
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": image_url}]
    with pytest.raises(UnreadableError):
        read_question({"messages": [{"role": "user", "content": parts}]})


def test_a_note_is_enriched() -> None:
    schema = {"properties": {name: {} for name in ("title", "summary", "tags", "action_items")}}
    text = "Garden plans for spring. We need to buy seeds. Roses look nice."
    found = answer(read_question(request(f"<content>\n{text}\n</content>", schema)))
    assert isinstance(found, dict)
    assert found["title"] == "Garden plans for spring"
    assert found["summary"] == "Garden plans for spring."
    assert found["action_items"] == ["We need to buy seeds."]
    assert "garden" in found["tags"]


class Unknown(BaseModel):
    """An answer that no rule knows."""

    class Part(BaseModel):
        size: int
        kind: str

    part: Part
    parts: list[Part]
    ratio: float
    is_good: bool
    note: str | None
    alternatives: int | str
    anything: dict[str, int]
    nothing: None


def test_an_unknown_question_gets_the_plainest_answer_that_its_schema_allows() -> None:
    schema = Unknown.model_json_schema()
    schema["properties"]["parts"]["minItems"] = 2
    schema["$defs"]["Part"]["properties"]["size"]["minimum"] = 3
    schema["$defs"]["Part"]["properties"]["kind"] = {"enum": ["big", "small"]}
    found = Unknown.model_validate(answer(read_question(request("hm", schema))))
    assert [part.size for part in found.parts] == [3, 3]
    assert found.part.kind == "big"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (request("a boat", response_format={"type": "json_object"}), {"answer": "stand-in"}),
        (
            request("a red boat", response_format={"type": "text"}),
            "The stand-in has no rule for this. It is about red boat.",
        ),
    ],
)
def test_an_unknown_question_without_a_schema_is_answered_too(
    body: dict[str, Any], expected: Any
) -> None:
    assert answer(read_question(body)) == expected


def test_a_schema_without_end_is_cut_short() -> None:
    endless = {"properties": {"next": {"$ref": "#/$defs/Node"}}, "$defs": {}}
    endless["$defs"] = {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}
    assert "next" in filled(endless, endless)
    loop: dict[str, Any] = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}
    assert property_names(loop) == set()
    assert filled(7, {}) is None
    assert wrapped({"a": 1}, {"properties": {"a": {}}}) == {"a": 1}


def test_only_the_latest_calls_are_kept_and_all_are_counted() -> None:
    behaviour = Behaviour()
    behaviour.set(Misbehaviour(mode="refuse", times=1))
    question = read_question(request("hi"))
    for _ in range(10_005):
        behaviour.take(question)
    listed = behaviour.calls()
    assert (listed["count"], len(listed["calls"])) == (10_005, 10_000)


def test_material_that_was_defused_is_read_as_it_was() -> None:
    prompt = Prompt("x", "1", "0", "s", "<message>\n1 &lt;2\n</message>")
    assert Ask(prompt, None).image is None
    assert read_question(request(prompt.user)).sections == {"message": "1 <2"}
