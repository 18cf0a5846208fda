"""Reads a chat completion's request: what is asked, and with which material."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from demo.stand_in.schema import Json, property_names

_SECTION = re.compile(r"<([a-z_]+)>\s*?\n?(.*?)\n?\s*?</\1>", re.DOTALL)
_DATA_URL = re.compile(r"data:[\w/+.-]*;base64,", re.ASCII)


class UnreadableError(Exception):
    """The request is not a chat completion; the message is for the client."""


@dataclass(frozen=True)
class Question:
    """What a client asks. ``sections`` are the ``<name>…</name>`` blocks of its user messages."""

    job_type: str
    system: str
    user: str
    sections: dict[str, str]
    schema: Json | None
    wants_json: bool
    image: bytes | None
    max_tokens: int | None


def read_question(body: Any) -> Question:
    """Make sense of a request's body. Raises ``UnreadableError`` that says what is wrong."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise UnreadableError("'messages' must be a list of messages")
    user = _texts(messages, "user")
    if not user.strip():
        raise UnreadableError("there is no user message")
    schema, wants_json = _format(body.get("response_format"))
    sections = {name: text.replace("&lt;", "<") for name, text in _SECTION.findall(user)}
    image = _image(messages)
    system = _texts(messages, "system")
    return Question(
        job_type=_job_type(sections, schema, system, has_image=image is not None),
        system=system,
        user=user,
        sections=sections,
        schema=schema,
        wants_json=wants_json,
        image=image,
        max_tokens=_limit(body),
    )


def _texts(messages: list[Json], role: str) -> str:
    said = [message for message in messages if message.get("role") == role]
    parts = [part for message in said for part in _parts(message)]
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _parts(message: Json) -> list[Json]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _image(messages: list[Json]) -> bytes | None:
    for part in (part for message in messages for part in _parts(message)):
        if part.get("type") == "image_url":
            source = part.get("image_url")
            url = source.get("url") if isinstance(source, dict) else source
            prefix = _DATA_URL.match(url) if isinstance(url, str) else None
            if not prefix or not isinstance(url, str):
                raise UnreadableError("an image must be a data URL in base64")
            try:
                return base64.b64decode(url[prefix.end() :], validate=True)
            except binascii.Error:
                raise UnreadableError("the image is not base64") from None
    return None


def _format(response_format: Any) -> tuple[Json | None, bool]:
    if response_format is None:
        return None, False
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_schema":
        holder = response_format.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if not isinstance(schema, dict):
            raise UnreadableError("response_format.json_schema holds no schema")
        return schema, True
    if kind not in ("json_object", "text"):
        raise UnreadableError("response_format.type must be json_schema, json_object or text")
    return None, kind == "json_object"


def _limit(body: Json) -> int | None:
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise UnreadableError("max_tokens must be a positive integer")
    return limit


def _job_type(
    sections: dict[str, str], schema: Json | None, system: str, *, has_image: bool
) -> str:
    """By the answer's fields where a schema tells them, else by what the material is."""
    names = property_names(schema or {})
    asked_in_words = '"intent"' in system
    for job_type, is_it in {
        "task_match": "matched_task_id" in names or "open_tasks" in sections,
        "email_extract": "events" in names or {"subject", "body"} <= set(sections),
        "note_enrich": {"summary", "action_items"} <= names,
        "intent_classify": "intent" in names or "query" in sections or asked_in_words,
        "image_tag": has_image,
        "followup": not names and "message" in sections,
    }.items():
        if is_it:
            return job_type
    return "unknown"
