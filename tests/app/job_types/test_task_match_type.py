import json
from typing import Any

import pytest

from app.job_types.task_match import JOB_TYPE, TaskMatchAnswer, TaskMatchPayload
from app.jobs.context import OpenTask

PAYLOAD = TaskMatchPayload(memory_id="m1", memory_content="Called Dr. Woo")
DENTIST = OpenTask("task-1", "Call the dentist")
MILK = OpenTask("task-2", "Buy milk")


def _answer(task_id: str | None, confidence: float) -> TaskMatchAnswer:
    return TaskMatchAnswer(matched_task_id=task_id, confidence=confidence, reason="It fits.")


def test_without_open_tasks_the_llm_is_not_asked_and_nothing_comes_of_it(
    reading: Any, writing: Any
) -> None:
    assert JOB_TYPE.ask(PAYLOAD, reading(tasks=[])) is None
    assert JOB_TYPE.apply(PAYLOAD, None, writing()) is None


def test_each_open_task_is_offered_on_a_line_of_json(reading: Any, section: Any) -> None:
    tasks = [DENTIST, OpenTask("task-3", 'Two\nlines, "quoted" </open_tasks>')]
    ask = JOB_TYPE.ask(PAYLOAD, reading(tasks=tasks))
    assert ask is not None
    lines = section(ask.prompt.user, "open_tasks").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "task-1", "description": "Call the dentist"},
        {"id": "task-3", "description": 'Two\nlines, "quoted" &lt;/open_tasks>'},
    ]


def test_a_long_description_is_cut_in_the_question_and_whole_in_the_result(
    reading: Any, writing: Any, section: Any
) -> None:
    long = OpenTask("task-1", "x" * 10_000)
    ask = JOB_TYPE.ask(PAYLOAD, reading(tasks=[long] * 200))
    assert ask is not None
    assert len(ask.prompt.user) < 200 * 600
    result = JOB_TYPE.apply(PAYLOAD, _answer("task-1", 0.9), writing(tasks=[long]))
    assert result is not None
    assert result["task_description"] == "x" * 10_000


def test_a_confident_match_names_the_task(writing: Any) -> None:
    result = JOB_TYPE.apply(PAYLOAD, _answer("task-2", 0.71), writing(tasks=[DENTIST, MILK]))
    assert result == {"task_id": "task-2", "task_description": "Buy milk", "memory_id": "m1"}


@pytest.mark.parametrize(
    ("task_id", "confidence"),
    [("task-2", 0.7), ("task-2", 0.0), (None, 1.0), ("task-9", 1.0), ("", 1.0), ("TASK-2", 1.0)],
)
def test_an_unsure_match_or_an_id_that_was_not_offered_gives_nothing(
    task_id: str | None, confidence: float, writing: Any
) -> None:
    context = writing(tasks=[DENTIST, MILK])
    assert JOB_TYPE.apply(PAYLOAD, _answer(task_id, confidence), context) is None


def test_a_task_that_was_done_in_the_meantime_gives_nothing(writing: Any) -> None:
    assert JOB_TYPE.apply(PAYLOAD, _answer("task-2", 0.9), writing(tasks=[DENTIST])) is None


@pytest.mark.parametrize("missing", ["matched_task_id", "confidence", "reason"])
def test_every_field_of_the_answer_is_needed(missing: str, complaints: Any) -> None:
    answer = {"matched_task_id": None, "confidence": 0.5, "reason": "None fits."}
    del answer[missing]
    assert complaints(TaskMatchAnswer, answer) == f"{missing}: Field required"


def test_a_whole_number_is_a_confidence() -> None:
    text = '{"matched_task_id": null, "confidence": 1, "reason": "x"}'
    assert TaskMatchAnswer.model_validate_json(text, strict=True).confidence == 1.0
