import pytest

from queues.names import PRIORITIES, expand, list_name, lists_of


def test_a_priority_is_a_list_of_its_own() -> None:
    assert [list_name("llm_intent", priority) for priority in PRIORITIES] == [
        "llm_intent-high",
        "llm_intent",
        "llm_intent-low",
    ]


@pytest.mark.parametrize("priority", ["", "urgent", "HIGH"])
def test_a_priority_that_does_not_exist_is_refused_by_name(priority: str) -> None:
    with pytest.raises(ValueError, match="high, normal, low"):
        list_name("llm_intent", priority)


def test_a_worker_serves_high_before_normal_before_low() -> None:
    assert lists_of("a") == ["a-high", "a", "a-low"]
    assert expand(["a", "b"]) == ["a-high", "a", "a-low", "b-high", "b", "b-low"]


def test_a_list_given_by_name_stands_for_itself_and_comes_once() -> None:
    assert expand(["a-high"]) == ["a-high"]
    assert expand(["a-low", "a", "a"]) == ["a-low", "a-high", "a"]
    assert expand([]) == []
