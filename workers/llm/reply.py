"""Reads a 200: what was said, by which model, for how many tokens. A 200 alone promises nothing."""

import json
from dataclasses import dataclass
from typing import Any

from app.store.rows import Usage
from workers.llm.errors import AnswerTruncated, InvalidAnswer, LLMRefused, LLMTimeout
from workers.llm.problem import problem_of
from workers.llm.redact import redact, storable
from workers.llm.transport import Reply

_MAX_TOKENS_BELIEVED = 10**9
_MAX_MODEL_CHARS = 200
_TOKEN_LIMIT = ("length", "max_tokens")
_TOOL_CALLS = ("tool_calls", "function_call")
_REASONING = ("reasoning_content", "reasoning")


@dataclass(frozen=True)
class Envelope:
    """The body of a 200 as JSON, whatever JSON it is."""

    document: Any
    secrets: tuple[str, ...] = ()
    """To be struck out of an error that the server sends in place of an answer."""

    @property
    def model(self) -> str | None:
        """The model that answered, if the server says."""
        name = _get(self.document, "model")
        return storable(name)[:_MAX_MODEL_CHARS] if isinstance(name, str) and name else None

    @property
    def usage(self) -> Usage:
        """The tokens, ``None`` where they are missing or make no sense."""
        usage = _get(self.document, "usage")
        return Usage(
            prompt_tokens=_count(_get(usage, "prompt_tokens")),
            completion_tokens=_count(_get(usage, "completion_tokens")),
            total_tokens=_count(_get(usage, "total_tokens")),
        )

    def text(self) -> str:
        """What the LLM said.

        Raises ``LLMRefused``, ``AnswerTruncated``, or ``InvalidAnswer`` where nothing was said.
        """
        choice = self._only_choice()
        message = _get(choice, "message")
        reason = _get(choice, "finish_reason")
        said = _said(message)
        if refusal := _refusal(message):
            raise LLMRefused("The LLM refused to answer.", text=refusal)
        if reason == "content_filter":
            raise LLMRefused("The LLM's content filter stopped the answer.", text=said)
        if reason in _TOKEN_LIMIT:
            raise AnswerTruncated("The reply was cut at the token limit.", text=said)
        if not said.strip():
            calls = _get(message, "tool_calls") or _get(message, "function_call")
            if calls or reason in _TOOL_CALLS:
                raise LLMRefused("The LLM called a tool instead of answering.")
            raise InvalidAnswer("The reply holds no text.")
        return said

    def _only_choice(self) -> Any:
        if not isinstance(self.document, dict):
            raise InvalidAnswer("The LLM's response is not a JSON object.")
        choices = self.document.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        for holder in (self.document, choice):
            if error := _get(holder, "error"):
                said = redact(problem_of({"error": error}).message, self.secrets)
                raise InvalidAnswer(f"The LLM sent an error in place of an answer: {said}")
        if choice is None:
            raise InvalidAnswer("The LLM's response holds no choices.")
        return choice


def open_envelope(reply: Reply, secrets: tuple[str, ...]) -> Envelope:
    """Parse the body of a 200. Raises ``InvalidAnswer``, or ``LLMTimeout`` when it was cut."""
    text = reply.body.decode("utf-8-sig", errors="replace").strip()
    try:
        return Envelope(json.loads(text), secrets)
    except (ValueError, RecursionError):
        if text.startswith("{") and not reply.is_framed:
            raise LLMTimeout("The connection to the LLM ended in mid-answer.") from None
        what = "not JSON" if text else "empty"
        raise InvalidAnswer(f"The LLM's response is {what}.", status=reply.status) from None


def _said(message: Any) -> str:
    """The content, or where it is empty the reasoning, which some servers put the answer in."""
    for key in ("content", *_REASONING):
        text = _text_of(_get(message, key))
        if text.strip():
            return storable(text)
    return ""


def _text_of(content: Any) -> str:
    """A string, or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part if isinstance(part, str) else _get(part, "text") for part in content)
    return "".join(part for part in parts if isinstance(part, str))


def _refusal(message: Any) -> str:
    refusals = [_get(message, "refusal")]
    content = _get(message, "content")
    if isinstance(content, list):
        refusals += [_get(part, "refusal") for part in content]
    return storable(next((text for text in refusals if isinstance(text, str) and text), ""))


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value <= _MAX_TOKENS_BELIEVED else None


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
