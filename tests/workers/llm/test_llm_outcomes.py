"""Each row of the outcome table: which error, which policy, how many requests."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from workers.llm import (
    AnswerTruncated,
    InvalidAnswer,
    LLMError,
    LLMQuotaExhausted,
    LLMRefused,
    LLMRejected,
    LLMServerError,
    LLMThrottled,
    LLMTimeout,
    LLMUnavailable,
)


def failure(client: Any, ask: Any) -> LLMError:
    with pytest.raises(LLMError) as caught:
        client.complete(ask)
    return caught.value


@pytest.mark.parametrize(
    ("error_class", "code", "policy"),
    [
        (LLMUnavailable, "llm_unavailable", "uncounted"),
        (LLMTimeout, "llm_timeout", "counted"),
        (LLMThrottled, "llm_throttled", "uncounted"),
        (LLMQuotaExhausted, "llm_quota_exhausted", "uncounted"),
        (InvalidAnswer, "invalid_answer", "counted"),
        (AnswerTruncated, "answer_truncated", "counted"),
        (LLMRefused, "llm_refused", "permanent"),
        (LLMRejected, "llm_rejected", "permanent"),
        (LLMServerError, "llm_server_error", "counted"),
    ],
)
def test_every_outcome_has_its_code_and_policy(
    error_class: type[LLMError], code: str, policy: str
) -> None:
    assert (error_class.code, error_class.policy) == (code, policy)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (502, "<html><h1>Bad Gateway</h1></html>", LLMUnavailable),
        (503, "", LLMUnavailable),
        (504, {"detail": "upstream timed out"}, LLMUnavailable),
        (408, {"error": "request timeout"}, LLMUnavailable),
        (503, {"error": {"message": "Loading model", "code": 503}}, LLMUnavailable),
        (500, {"error": {"message": "Loading model"}}, LLMUnavailable),
        (500, {"error": "Model mistral is currently loading"}, LLMUnavailable),
        (404, {"error": "the model is still loading, try again"}, LLMUnavailable),
        (400, {"error": {"message": "bad request"}}, LLMRejected),
        (400, {"error": {"message": "cannot read 'we were loading the model ship'"}}, LLMRejected),
        (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, LLMRejected),
        (403, "", LLMRejected),
        (404, {"error": {"message": "model not found"}}, LLMRejected),
        (413, "too large", LLMRejected),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "field required"}]}, LLMRejected),
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, LLMRejected),
        (
            500,
            {"error": {"message": "the request exceeds the available context size"}},
            LLMRejected,
        ),
        (
            500,
            {"error": {"message": "This model's maximum context length is 4096 tokens"}},
            LLMRejected,
        ),
        (409, "", LLMRejected),
        (400, {"error": {"message": "filtered", "code": "content_filter"}}, LLMRefused),
        (400, {"error": {"message": "no", "code": "content_policy_violation"}}, LLMRefused),
        (400, {"error": {"message": "content_filter is no parameter"}}, LLMRejected),
        (500, {"error": {"message": "boom"}}, LLMServerError),
        (501, "", LLMServerError),
        (529, {"error": {"type": "overloaded_error"}}, LLMServerError),
        (599, "<html>", LLMServerError),
        (429, {"error": {"message": "slow down"}}, LLMThrottled),
        (429, "", LLMThrottled),
        (429, "<html>Too Many Requests</html>", LLMThrottled),
        (
            429,
            {
                "error": {
                    "message": "Rate limit reached, add a payment method to your billing account",
                    "code": "rate_limit_exceeded",
                }
            },
            LLMThrottled,
        ),
        (
            429,
            {"error": {"message": "Slow down. See https://example.com/account/billing"}},
            LLMThrottled,
        ),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, LLMQuotaExhausted),
        (429, {"error": {"message": "quota", "type": "insufficient_quota"}}, LLMQuotaExhausted),
        (429, {"error": "check your plan and billing details"}, LLMQuotaExhausted),
        (402, {"error": {"message": "Insufficient credits"}}, LLMQuotaExhausted),
        (402, {"detail": "billing hard limit"}, LLMQuotaExhausted),
        (402, "", LLMQuotaExhausted),
    ],
)
def test_an_http_error_becomes_its_outcome_after_one_request(
    llm: Any, client: Any, make_ask: Any, status: int, body: Any, expected: type[LLMError]
) -> None:
    llm.replies(llm.error(status, body))
    error = failure(client, make_ask())
    assert type(error) is expected
    assert (error.status, error.calls, len(llm.requests)) == (status, 1, 1)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"retry-after-ms": "2500", "Retry-After": "9"}, 2.5),
        ({"retry-after-ms": "junk", "Retry-After": "9"}, 9),
        ({"retry-after-ms": "-5", "Retry-After": "9"}, 9),
        ({"Retry-After": "3600"}, 3600),
        ({}, None),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "3601"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"Retry-After": "Sun, 99 Nov 99999 08:49:37 GMT"}, None),
        ({"Retry-After": "Mon, 01 Jan 2080 00:00:00 GMT"}, None),
        ({"retry-after-ms": "9e99"}, None),
    ],
)
def test_throttling_waits_as_the_server_asks_when_that_makes_sense(
    llm: Any, client: Any, make_ask: Any, headers: dict[str, str], expected_s: float | None
) -> None:
    llm.replies(llm.error(429, "", headers))
    error = failure(client, make_ask())
    assert isinstance(error, LLMThrottled)
    assert error.retry_after_s == expected_s


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_throttling_understands_a_date(llm: Any, client: Any, make_ask: Any, zone: str) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=90)
    header = format_datetime(moment, usegmt=True).replace("GMT", zone)
    llm.replies(llm.error(429, "", {"Retry-After": header}))
    error = failure(client, make_ask())
    assert isinstance(error, LLMThrottled)
    assert error.retry_after_s == pytest.approx(90, abs=5)


@pytest.mark.parametrize(
    "extra",
    [
        {"refusal": "I cannot help with that.", "content": None},
        {"content": "", "finish_reason": "content_filter"},
        {"content": '{"label": "yes", "confid', "finish_reason": "content_filter"},
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"content": None, "finish_reason": "tool_calls"},
        {"content": "", "function_call": {"name": "f"}, "finish_reason": "function_call"},
    ],
)
def test_a_refusal_is_permanent_and_not_asked_again(
    llm: Any, client: Any, make_ask: Any, extra: dict[str, Any]
) -> None:
    llm.replies(llm.completion(**extra))
    error = failure(client, make_ask())
    assert isinstance(error, LLMRefused)
    assert len(llm.requests) == 1
    assert error.usage.total_tokens == 12


def test_text_beside_tool_calls_is_an_answer(
    llm: Any, client: Any, make_ask: Any, wire: Any
) -> None:
    llm.says(json.dumps(wire.good), tool_calls=[{"id": "1"}])
    assert client.complete(make_ask()).answer == wire.verdict(**wire.good)


@pytest.mark.parametrize("content", ['{"label": "yes", "confidence"', "", None])
def test_a_truncated_answer_is_asked_for_with_twice_the_tokens_and_then_counted(
    llm: Any, client: Any, make_ask: Any, content: str | None
) -> None:
    llm.says(content, finish_reason="length")
    error = failure(client, make_ask(max_tokens=100))
    assert isinstance(error, AnswerTruncated)
    assert [request["max_tokens"] for request in llm.requests] == [100, 200]
    assert llm.requests[0]["messages"] == llm.requests[1]["messages"]
    assert (error.calls, error.usage.completion_tokens) == (2, 10)


def test_a_complete_object_in_a_truncated_reply_is_not_passed_off_as_success(
    llm: Any, client: Any, make_ask: Any, wire: Any
) -> None:
    llm.says(json.dumps(wire.good), finish_reason="length")
    assert isinstance(failure(client, make_ask()), AnswerTruncated)


def test_twice_the_tokens_may_suffice(llm: Any, client: Any, make_ask: Any, wire: Any) -> None:
    llm.replies(
        llm.completion('{"label', finish_reason="length"), llm.completion(json.dumps(wire.good))
    )
    completion = client.complete(make_ask())
    assert completion.answer == wire.verdict(**wire.good)
    assert completion.calls == 2


def test_a_plain_text_is_not_passed_off_when_cut(llm: Any, client: Any, make_ask: Any) -> None:
    llm.says("When do you", finish_reason="length")
    assert isinstance(failure(client, make_ask(answer=None)), AnswerTruncated)


def test_nothing_is_asked_without_time(llm: Any, client: Any, make_ask: Any) -> None:
    llm.says("late")
    with pytest.raises(LLMTimeout) as caught:
        client.complete(make_ask(), deadline=time.monotonic() - 1)
    assert (caught.value.calls, llm.requests) == (0, [])
