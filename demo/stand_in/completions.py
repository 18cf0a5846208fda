"""Puts an answer into the shape of a chat completion."""

import json
import time
import uuid
from typing import Any

from demo.stand_in.question import Question
from demo.stand_in.schema import Json

MODEL = "stand-in"


def completion(question: Question, answer: Json | str) -> Json:
    """The response; an answer of more words than ``max_tokens`` is cut, and says so."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    pieces = text.split(" ")
    limit = question.max_tokens
    if limit is not None and len(pieces) > limit:
        return response(question, " ".join(pieces[:limit]), finish_reason="length")
    return response(question, text)


def truncated(question: Question, answer: Json | str) -> Json:
    """The first half of the answer, as if the token limit had been reached."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return response(question, text[: len(text) // 2], finish_reason="length")


def refusal(question: Question) -> Json:
    """What a model sends that will not answer."""
    return response(question, None, refusal="I cannot help with that.")


def response(
    question: Question, text: str | None, *, finish_reason: str = "stop", refusal: str | None = None
) -> Json:
    """A chat completion that says ``text``; a token is a word here."""
    prompt_tokens = len(question.system.split()) + len(question.user.split())
    completion_tokens = len((text or "").split(" "))
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def models() -> Json:
    """The only model there is."""
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "llm-jobs"}]}


def error(message: str, kind: str = "invalid_request_error") -> Json:
    """An error as OpenAI words it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
