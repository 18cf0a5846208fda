"""The stand-in misbehaves as it is told."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.jobs.ask import Ask, Prompt
from demo.stand_in_llm import StandIn
from workers.llm import (
    AnswerTruncated,
    InvalidAnswer,
    LLMClient,
    LLMError,
    LLMRefused,
    LLMServerError,
    LLMSettings,
    LLMThrottled,
    LLMTimeout,
)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def chat(stand_in: StandIn, http: requests.Session, text: str = "hi", **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": text}], **more}
    return http.post(f"{stand_in.url}/chat/completions", json=body, timeout=10)


def root(stand_in: StandIn) -> str:
    return stand_in.url.removesuffix("/v1")


def control(stand_in: StandIn, http: requests.Session, **how: Any) -> Any:
    return http.post(f"{root(stand_in)}/_control", json=how, timeout=5)


def test_it_fails_as_often_as_told_and_then_answers(
    stand_in: StandIn, http: requests.Session
) -> None:
    assert control(stand_in, http, mode="status", status=500, times=2).status_code == 200
    assert [chat(stand_in, http).status_code for _ in range(4)] == [500, 500, 200, 200]
    assert [call["mode"] for call in stand_in.calls] == ["status", "status", "none", "none"]


def test_it_fails_until_told_otherwise(stand_in: StandIn, http: requests.Session) -> None:
    control(stand_in, http, mode="status", status=503)
    assert [chat(stand_in, http).status_code for _ in range(3)] == [503] * 3
    control(stand_in, http, mode="none")
    assert chat(stand_in, http).status_code == 200


def test_it_fails_with_the_body_and_headers_it_was_given(
    stand_in: StandIn, http: requests.Session
) -> None:
    control(stand_in, http, mode="status", status=429, body={"a": 1}, headers={"Retry-After": "3"})
    response = chat(stand_in, http)
    assert (response.json(), response.headers["Retry-After"]) == ({"a": 1}, "3")
    control(stand_in, http, mode="status", status=200, body="<html>")
    assert chat(stand_in, http).text == "<html>"


def test_it_fails_for_what_matches_only(stand_in: StandIn, http: requests.Session) -> None:
    control(stand_in, http, mode="status", match="poison", times=1)
    statuses = [chat(stand_in, http, text).status_code for text in ("ok", "a poison", "a poison")]
    assert statuses == [200, 500, 200]


@pytest.mark.parametrize(
    "how", [{}, {"mode": "explode"}, {"mode": "status", "status": 99}, {"mode": "none", "x": 1}]
)
def test_a_wrong_command_is_refused_in_words(
    stand_in: StandIn, http: requests.Session, how: dict[str, Any]
) -> None:
    response = control(stand_in, http, **how)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"]


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[LLMClient]:
    made = LLMClient(LLMSettings(stand_in.url, "any", timeout_s=1.5))
    yield made
    made.close()


def ask(text: str = "<message>\nthe boat\n</message>") -> Ask:
    return Ask(Prompt("followup", "1", "0", "Ask.", text), answer=None)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"mode": "status"}, LLMServerError),
        ({"mode": "status", "status": 429}, LLMThrottled),
        ({"mode": "truncate"}, AnswerTruncated),
        ({"mode": "refuse"}, LLMRefused),
        ({"mode": "hang"}, LLMTimeout),
        ({"mode": "latency", "seconds": 20}, LLMTimeout),
        ({"mode": "trickle", "seconds": 0.1}, LLMTimeout),
    ],
)
def test_each_misbehaviour_is_one_that_the_client_meets(
    stand_in: StandIn, client: LLMClient, how: dict[str, Any], expected: type[LLMError]
) -> None:
    stand_in.misbehave(**how)
    with pytest.raises(expected):
        client.complete(ask())
    stand_in.misbehave("none")
    assert client.complete(ask()).answer


def test_malformed_answers_are_invalid(stand_in: StandIn, client: LLMClient) -> None:
    from app.job_types.task_match import TaskMatchAnswer

    stand_in.misbehave("malformed", times=2)
    question = Ask(Prompt("task_match", "1", "0", "Match.", "<open_tasks>\n</open_tasks>"), None)
    assert client.complete(question).answer.startswith("Sure!")
    stand_in.misbehave("malformed", body="{}")
    with pytest.raises(InvalidAnswer):
        client.complete(Ask(question.prompt, TaskMatchAnswer))


def test_a_short_delay_delays(stand_in: StandIn, client: LLMClient) -> None:
    stand_in.misbehave("latency", seconds=0.3)
    start = time.monotonic()
    client.complete(ask())
    assert time.monotonic() - start >= 0.3
