"""The ladder of ``response_format`` and the parameters that a server may refuse."""

from typing import Any

import pytest

from workers.llm import LLMRejected, LLMServerError

GOOD_TEXT = '{"label": "yes", "confidence": 0.5}'


def formats(llm: Any) -> list[str | None]:
    return [request.get("response_format", {}).get("type") for request in llm.requests]


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


REFUSALS = [
    (400, openai_error("Invalid parameter: 'response_format' of type 'json_schema'")),
    (400, openai_error("This model does not take that", param="response_format")),
    (400, {"detail": "json_schema is not supported"}),
    (400, {"message": "Structured outputs are not supported by this model"}),
    (422, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "not permitted"}]}),
    (422, {"detail": [{"loc": ["body", "response_format"], "msg": "Input should be 'text'"}]}),
    (422, {"error": "response_format: unknown variant"}),
    (500, {"error": {"message": "failed to parse grammar", "code": None}}),
    (500, "Internal error: guided_json backend failed"),
    (500, "<html><p>KeyError: json_schema</p></html>"),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_refused_format_is_stepped_down_from(
    llm: Any, client: Any, make_ask: Any, wire: Any, status: int, body: Any
) -> None:
    llm.replies(llm.error(status, body), llm.completion(GOOD_TEXT))
    completion = client.complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)
    assert formats(llm) == ["json_schema", "json_object"]
    assert completion.calls == 2


def test_the_ladder_ends_without_a_format(llm: Any, client: Any, make_ask: Any) -> None:
    refusal = llm.error(400, openai_error("response_format is not supported"))
    llm.replies(refusal, refusal, llm.completion(GOOD_TEXT))
    client.complete(make_ask())
    assert formats(llm) == ["json_schema", "json_object", None]


def test_a_server_that_refuses_every_format_rejects(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(llm.error(400, openai_error("response_format is not supported")))
    with pytest.raises(LLMRejected) as caught:
        client.complete(make_ask())
    assert (caught.value.calls, len(llm.requests)) == (3, 3)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai_error("the prompt is empty"), LLMRejected),
        (404, openai_error("response_format is not supported"), LLMRejected),
        (500, openai_error("out of memory"), LLMServerError),
        (501, openai_error("response_format is not implemented"), LLMServerError),
    ],
)
def test_an_error_that_does_not_name_the_format_is_no_reason_to_step_down(
    llm: Any, client: Any, make_ask: Any, status: int, body: Any, expected: type[Exception]
) -> None:
    llm.replies(llm.error(status, body))
    with pytest.raises(expected):
        client.complete(make_ask())
    assert formats(llm) == ["json_schema"]


def test_the_step_is_remembered_for_the_model(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(
        llm.error(400, openai_error("response_format: json_schema?")), llm.completion(GOOD_TEXT)
    )
    client.complete(make_ask())
    client.complete(make_ask())
    assert formats(llm) == ["json_schema", "json_object", "json_object"]


def test_the_step_is_not_remembered_for_another_model(
    llm: Any, client: Any, make_ask: Any, wire: Any
) -> None:
    from app.jobs.ask import Image

    llm.replies(llm.error(400, openai_error("json_schema?")), llm.completion(GOOD_TEXT))
    client.complete(make_ask())
    client.complete(make_ask(image=Image("image/png", b"x")))
    assert [request["model"] for request in llm.requests] == ["mistral", "mistral", "llava"]
    assert formats(llm)[-1] == "json_schema"


def test_a_step_that_did_not_help_is_not_remembered(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(
        llm.error(500, "bad json_schema"),
        llm.error(503, "down"),
        llm.completion(GOOD_TEXT),
    )
    with pytest.raises(Exception, match="503"):
        client.complete(make_ask())
    client.complete(make_ask())
    assert formats(llm) == ["json_schema", "json_object", "json_schema"]


def test_the_schema_is_sent_as_the_format_or_else_in_words(
    llm: Any, client: Any, make_ask: Any, wire: Any
) -> None:
    llm.replies(llm.error(400, openai_error("json_schema?")), llm.completion(GOOD_TEXT))
    client.complete(make_ask())
    first, second = llm.requests
    sent = first["response_format"]["json_schema"]
    assert sent["name"] == "verdict"
    assert sent["schema"] == wire.verdict.model_json_schema()
    assert first["messages"][0]["content"] == "Judge the text."
    in_words = second["messages"][0]["content"]
    assert in_words.startswith("Judge the text.\n\nAnswer with one JSON object")
    assert '"confidence"' in in_words


def test_a_server_that_promises_a_schema_is_not_believed(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.says('{"label": "yes", "confidence": 7}', GOOD_TEXT)
    assert client.complete(make_ask()).calls == 2


TOKENS_REFUSED = openai_error(
    "Unsupported parameter: 'max_tokens' is not supported with this model."
    " Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
TEMPERATURE_REFUSED = openai_error(
    "Unsupported value: 'temperature' does not support 0.0 with this model.",
    param="temperature",
    code="unsupported_value",
)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, TOKENS_REFUSED),
        (400, openai_error("Unrecognized request argument supplied: max_tokens")),
        (422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs not permitted"}]}),
    ],
)
def test_a_refused_token_limit_is_sent_under_its_other_name(
    llm: Any, client: Any, make_ask: Any, status: int, body: Any
) -> None:
    llm.replies(llm.error(status, body), llm.completion(GOOD_TEXT))
    client.complete(make_ask(max_tokens=50))
    client.complete(make_ask(max_tokens=60))
    assert [request.get("max_tokens") for request in llm.requests] == [50, None, None]
    assert [request.get("max_completion_tokens") for request in llm.requests] == [None, 50, 60]
    assert formats(llm) == ["json_schema"] * 3


def test_a_token_limit_that_is_refused_under_both_names_is_left_out(
    llm: Any, client: Any, make_ask: Any
) -> None:
    other = openai_error("Unknown parameter: 'max_completion_tokens'")
    llm.replies(llm.error(400, TOKENS_REFUSED), llm.error(400, other), llm.completion(GOOD_TEXT))
    client.complete(make_ask())
    assert not {"max_tokens", "max_completion_tokens"} & set(llm.requests[-1])


def test_without_a_token_limit_a_cut_answer_is_not_paid_for_twice(
    llm: Any, client: Any, make_ask: Any
) -> None:
    other = openai_error("Unknown parameter: 'max_completion_tokens'")
    cut = llm.completion("{", finish_reason="length")
    llm.replies(llm.error(400, TOKENS_REFUSED), llm.error(400, other), cut)
    with pytest.raises(Exception, match="token limit"):
        client.complete(make_ask())
    assert len(llm.requests) == 3


def test_a_refused_temperature_is_left_out_and_that_remembered(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.replies(llm.error(400, TEMPERATURE_REFUSED), llm.completion(GOOD_TEXT))
    client.complete(make_ask(temperature=0.3))
    client.complete(make_ask(temperature=0.3))
    assert [request.get("temperature") for request in llm.requests] == [0.3, None, None]


def test_a_server_that_refuses_everything_step_by_step_is_understood(
    llm: Any, client: Any, make_ask: Any
) -> None:
    llm.replies(
        llm.error(400, TEMPERATURE_REFUSED),
        llm.error(400, TOKENS_REFUSED),
        llm.error(400, openai_error("no json_schema")),
        llm.error(400, openai_error("no json_object")),
        llm.completion(GOOD_TEXT),
    )
    assert client.complete(make_ask()).calls == 5


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens",
        "temperature must be between 0 and 2",
        "max_tokens must be at least 1",
    ],
)
def test_a_value_that_is_out_of_range_is_not_taken_for_an_unknown_parameter(
    llm: Any, client: Any, make_ask: Any, message: str
) -> None:
    llm.replies(llm.error(400, openai_error(message)))
    with pytest.raises(LLMRejected):
        client.complete(make_ask())
    assert len(llm.requests) == 1


@pytest.mark.parametrize("body", [TOKENS_REFUSED, TEMPERATURE_REFUSED])
def test_a_parameter_that_is_refused_again_rejects(
    llm: Any, client: Any, make_ask: Any, body: Any
) -> None:
    llm.replies(llm.error(400, body))
    with pytest.raises(LLMRejected):
        client.complete(make_ask())
    assert len(llm.requests) <= 3


def test_plain_text_knows_no_ladder(llm: Any, client: Any, make_ask: Any) -> None:
    llm.replies(llm.error(400, openai_error("response_format?")))
    with pytest.raises(LLMRejected):
        client.complete(make_ask(answer=None))
    assert formats(llm) == [None]
