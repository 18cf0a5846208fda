"""Builds the request: the messages, and the parameters that the server takes."""

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from app.jobs.ask import Ask, Image
from workers.llm.dialect import Dialect, Format
from workers.llm.errors import Message
from workers.llm.redact import storable

_MAX_QUOTED_CHARS = 4_000
"""Of a reply that is shown to the LLM again: the transcript stays bounded."""


@dataclass(frozen=True)
class Correction:
    """What was wrong with a reply, to be told to the LLM; ``text`` is that reply, if it had any."""

    problem: str
    text: str


def messages_for(
    ask: Ask, dialect: Dialect, correction: Correction | None, image_url: str | None
) -> list[Message]:
    """The messages; after a ``correction`` the LLM's reply and what was wrong with it follow."""
    system = ask.prompt.system
    if ask.answer and dialect.format is not Format.JSON_SCHEMA:
        system = f"{system}\n\n{_in_words(ask.answer)}".strip()
    user = ask.prompt.user
    told = _told(correction, wants_json=ask.answer is not None) if correction else ""
    if told and not (correction and correction.text):
        # An empty assistant message, or two of the user's in a row, is refused by some servers.
        user, told = f"{user}\n\n{told}", ""
    messages: list[Message] = [{"role": "system", "content": storable(system)}] if system else []
    messages.append({"role": "user", "content": _content(storable(user), image_url)})
    if told and correction:
        messages.append({"role": "assistant", "content": correction.text[:_MAX_QUOTED_CHARS]})
        messages.append({"role": "user", "content": told})
    return messages


def image_urls(image: Image | None) -> tuple[str | None, str | None]:
    """The image as a data URL, and the placeholder that is stored in its stead."""
    if image is None:
        return None, None
    encoded = base64.b64encode(image.data).decode("ascii")
    return (
        f"data:{image.media_type};base64,{encoded}",
        f"[{image.media_type}, {len(image.data)} bytes]",
    )


def body_for(
    ask: Ask, model: str, messages: list[Message], dialect: Dialect, max_tokens: int
) -> bytes:
    """The request as JSON, with those parameters that the dialect has."""
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": False}
    if dialect.tokens_parameter:
        body[dialect.tokens_parameter] = max_tokens
    if dialect.has_temperature:
        body["temperature"] = ask.temperature
    if ask.answer and dialect.format is Format.JSON_SCHEMA:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", ask.prompt.name)[:64] or "answer"
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": name, "schema": _schema(ask.answer)},
        }
    elif ask.answer and dialect.format is Format.JSON_OBJECT:
        body["response_format"] = {"type": "json_object"}
    return json.dumps(body).encode()


@cache
def _schema(answer: type[BaseModel]) -> dict[str, Any]:
    return answer.model_json_schema()


def _in_words(answer: type[BaseModel]) -> str:
    """The schema for a server that does not take one; "JSON" must be said for ``json_object``."""
    schema = json.dumps(_schema(answer), ensure_ascii=False)
    return f"Answer with one JSON object that matches this JSON Schema, and nothing else:\n{schema}"


def _content(text: str, image_url: str | None) -> str | list[dict[str, Any]]:
    if image_url is None:
        return text
    return [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": image_url}},
    ]


def _told(correction: Correction, *, wants_json: bool) -> str:
    form = (
        "with one JSON object that matches the schema, complete, and nothing else"
        if wants_json
        else "in plain text"
    )
    return f"Your reply could not be used. {correction.problem} Answer again, {form}."
