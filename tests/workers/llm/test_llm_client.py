"""The request as a whole, the settings, and what must never be logged."""

import base64
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import workers.llm
from app.jobs.ask import Image
from app.settings import Settings
from demo.stand_in_llm import StandIn
from workers.llm import LLMClient, LLMError, LLMSettings

GOOD_TEXT = '{"label": "yes", "confidence": 0.5}'
PIXELS = b"\x89PNG canary-image-bytes"


def test_a_text_question_as_it_is_sent(llm: Any, client: Any, make_ask: Any, wire: Any) -> None:
    llm.says(GOOD_TEXT)
    completion = client.complete(make_ask(max_tokens=77, temperature=0.2))
    request = llm.requests[0]
    assert request["model"] == "mistral"
    assert request["messages"] == [
        {"role": "system", "content": "Judge the text."},
        {"role": "user", "content": "<text>\nfine\n</text>"},
    ]
    assert (request["max_tokens"], request["temperature"], request["stream"]) == (77, 0.2, False)
    assert llm.headers[0]["Authorization"] == f"Bearer {wire.key}"
    assert llm.headers[0]["Content-Type"] == "application/json"
    assert completion.messages == request["messages"]


def test_no_system_message_is_sent_where_there_is_none(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.says(GOOD_TEXT)
    client.complete(make_ask(system=""))
    assert [message["role"] for message in llm.requests[0]["messages"]] == ["user"]


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_an_image_is_sent_as_a_data_url_to_the_vision_model_and_not_kept(
    llm: Any, client: Any, make_ask: Any, media_type: str
) -> None:
    llm.says(GOOD_TEXT)
    completion = client.complete(make_ask(image=Image(media_type, PIXELS)))
    request = llm.requests[0]
    text, image = request["messages"][1]["content"]
    assert request["model"] == "llava"
    assert text == {"type": "text", "text": "<text>\nfine\n</text>"}
    prefix, _, encoded = image["image_url"]["url"].partition(",")
    assert prefix == f"data:{media_type};base64"
    assert base64.b64decode(encoded) == PIXELS
    kept = completion.messages[1]["content"]
    assert kept[0] == text
    assert kept[1]["image_url"]["url"] == f"[{media_type}, {len(PIXELS)} bytes]"


def test_an_image_is_sent_again_with_the_re_ask(llm: Any, client: Any, make_ask: Any) -> None:
    llm.says("no", GOOD_TEXT)
    completion = client.complete(make_ask(image=Image("image/png", PIXELS)))
    assert llm.requests[1]["messages"][1] == llm.requests[0]["messages"][1]
    assert base64.b64encode(PIXELS).decode() not in str(completion.messages)


@pytest.mark.parametrize("content", ["", "no JSON"])
def test_the_correction_of_an_image_question_stands_in_its_text(
    llm: Any, client: Any, make_ask: Any, content: str
) -> None:
    llm.says(content, GOOD_TEXT)
    client.complete(make_ask(image=Image("image/png", PIXELS)))
    assert "could not be used" in str(llm.requests[1]["messages"])


def test_a_schemas_name_is_one_that_servers_take(llm: Any, client: Any, make_ask: Any) -> None:
    from dataclasses import replace

    llm.says(GOOD_TEXT)
    ask = make_ask()
    client.complete(replace(ask, prompt=replace(ask.prompt, name="a b/ç" + "x" * 99)))
    name = llm.requests[0]["response_format"]["json_schema"]["name"]
    assert name == ("a_b__" + "x" * 99)[:64]


def test_a_base_url_may_end_with_a_slash(llm: Any, make_client: Any, make_ask: Any) -> None:
    llm.says(GOOD_TEXT)
    assert make_client(llm.url + "/").complete(make_ask()).calls == 1


def test_the_client_is_made_from_the_settings(make_settings: Callable[..., Settings]) -> None:
    settings = LLMSettings.from_settings(
        make_settings(
            LLM_BASE_URL="http://llm:1234/v1/",
            LLM_API_KEY="sk-secret",
            LLM_TEXT_MODEL="t",
            LLM_VISION_MODEL="v",
            LLM_TIMEOUT="7",
            LLM_VISION_TIMEOUT="9",
        )
    )
    assert settings == LLMSettings("http://llm:1234/v1", "sk-secret", "t", "v", 7.0, 9.0)
    assert "secret" not in repr(settings)


def test_nothing_else_is_public() -> None:
    assert set(workers.llm.__all__) == {
        "AnswerTruncated",
        "Completion",
        "InvalidAnswer",
        "LLMClient",
        "LLMError",
        "LLMQuotaExhausted",
        "LLMRefused",
        "LLMRejected",
        "LLMServerError",
        "LLMSettings",
        "LLMThrottled",
        "LLMTimeout",
        "LLMUnavailable",
    }


@pytest.mark.parametrize(
    "replies",
    ["good", "garbage", "error", "refusal"],
)
def test_no_key_prompt_body_or_image_is_logged(
    llm: Any,
    client: Any,
    make_ask: Any,
    wire: Any,
    caplog: pytest.LogCaptureFixture,
    replies: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    llm.replies(
        *{
            "good": [llm.completion('{"label": "canary-answer", "confidence": 1}')],
            "garbage": [llm.completion("canary-answer")],
            "error": [llm.error(400, f"json_schema canary-answer {wire.key}")],
            "refusal": [llm.completion(None, refusal="canary-answer")],
        }[replies]
    )
    ask = make_ask(system="canary-system", user="canary-user", image=Image("image/png", PIXELS))
    with suppress(LLMError):
        client.complete(ask)
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert caplog.records
    for canary in ("canary", wire.key, base64.b64encode(PIXELS).decode()):
        assert canary not in logged


def test_the_client_talks_to_the_stand_in_over_one_connection(make_ask: Any) -> None:
    with StandIn() as stand_in:
        client = LLMClient(LLMSettings(stand_in.url, "any", timeout_s=10))
        for _ in range(3):
            completion = client.complete(make_ask(answer=None, user="<message>\nhi\n</message>"))
            assert completion.model == "stand-in"
        client.close()
        assert len(stand_in.calls) == 3
