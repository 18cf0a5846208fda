from typing import Any

import pytest

from app.job_types.image_tag import JOB_TYPE, ImageTagAnswer, ImageTagPayload

PAYLOAD = ImageTagPayload(memory_id="m1", image_path="cats/tom.jpg")


def _answer(*tags: str) -> ImageTagAnswer:
    return ImageTagAnswer(description="A cat.", tags=list(tags))


def test_the_vision_model_gets_the_image(reading: Any) -> None:
    context = reading()
    ask = JOB_TYPE.ask(PAYLOAD, context)
    assert context.images_asked_for == ["cats/tom.jpg"]
    assert ask.image is context.image


def test_neither_path_nor_id_is_told_to_the_llm(reading: Any) -> None:
    prompt = JOB_TYPE.ask(PAYLOAD, reading()).prompt
    assert "tom.jpg" not in prompt.system + prompt.user
    assert "m1" not in prompt.user


def test_tags_are_stored_on_the_memory_and_returned(writing: Any) -> None:
    context = writing()
    result = JOB_TYPE.apply(PAYLOAD, _answer("Cat", "Brick  Wall"), context)
    assert context.tags == {"m1": ["cat", "brick wall"]}
    assert result == {
        "memory_id": "m1",
        "tags": ["cat", "brick wall"],
        "description": "A cat.",
    }


def test_tags_are_lower_cased_and_de_duplicated_in_order() -> None:
    answer = _answer(" Zebra", "CAT", "cat ", "zebra", "", "  ", "a\tb", "a b", "ok\0")
    assert answer.tags == ["zebra", "cat", "a b", "ok"]


@pytest.mark.parametrize("count", [1, 20])
def test_1_to_20_tags_are_accepted(count: int) -> None:
    assert len(_answer(*(f"tag {number}" for number in range(count))).tags) == count


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ([], "at least 1 item"),
        (["", "  "], "1 to 20 different tags, not 0"),
        ([f"tag {number}" for number in range(21)], "1 to 20 different tags, not 21"),
        (["x" * 51], "at most 50 characters"),
        ([5], "valid string"),
        ("cat, wall", "valid list"),
    ],
)
def test_other_tags_make_the_answer_invalid(tags: Any, complaint: str, complaints: Any) -> None:
    said = complaints(ImageTagAnswer, {"description": "A cat.", "tags": tags})
    assert said.startswith("tags")
    assert complaint in said


def test_twenty_one_tags_of_which_two_are_the_same_are_twenty() -> None:
    assert len(_answer("A", *(f"tag {number}" for number in range(19)), "a").tags) == 20


@pytest.mark.parametrize("description", ["", "  \n", "x" * 2_001, None])
def test_the_description_is_a_bounded_text(description: Any, complaints: Any) -> None:
    assert "description" in complaints(ImageTagAnswer, {"description": description, "tags": ["x"]})


@pytest.mark.parametrize("path", ["", "   ", "a\0b.png", "x" * 1_025, 5, None])
def test_a_path_is_checked_in_form(path: Any, complaints: Any) -> None:
    assert "image_path" in complaints(ImageTagPayload, {"memory_id": "m", "image_path": path})


def test_a_path_that_may_lead_outside_is_left_to_the_worker() -> None:
    assert ImageTagPayload(memory_id="m", image_path="../../etc/passwd").image_path
