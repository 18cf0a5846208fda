from typing import Any

import pytest

from app.jobs import notification


def test_a_result_is_told_under_the_job_types_message_type() -> None:
    assert notification.of_result("llm_intent_result", 0, {"intent": "note"}) == {
        "user_id": 0,
        "message_type": "llm_intent_result",
        "content": {"intent": "note"},
    }


def test_an_empty_result_is_a_result() -> None:
    assert notification.of_result("t", 1, {}) is not None


@pytest.mark.parametrize(
    ("message_type", "user_id", "result"),
    [
        (None, 1, {}),
        ("t", None, {}),
        ("t", 1, None),
    ],
)
def test_without_a_type_a_user_or_a_result_there_is_nothing_to_tell(
    message_type: str | None, user_id: int | None, result: dict[str, Any] | None
) -> None:
    assert notification.of_result(message_type, user_id, result) is None


@pytest.mark.parametrize(
    ("payload", "memory_id"),
    [({"memory_id": "m"}, "m"), ({}, ""), ({"memory_id": None}, ""), ({"memory_id": 5}, "")],
)
def test_a_failure_names_the_memory_where_there_is_one(
    payload: dict[str, Any], memory_id: str
) -> None:
    told = notification.of_failure("image_tag", 7, payload, "job_timeout")

    assert told == {
        "user_id": 7,
        "message_type": "llm_failure",
        "content": {
            "job_type": "image_tag",
            "memory_id": memory_id,
            "error_code": "job_timeout",
        },
    }


def test_a_failure_without_a_user_is_told_to_nobody() -> None:
    assert notification.of_failure("image_tag", None, {}, "job_timeout") is None
