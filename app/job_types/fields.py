"""The fields that payloads and answers are made of: their limits and how they are checked.

A payload's text is kept as it came. An answer's text is trimmed, freed of NUL characters (which
PostgreSQL cannot store) and bounded here rather than in its JSON Schema: servers that enforce a
schema refuse keywords such as ``maxLength``.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema

from app.jobs.job_type import MAX_TEXT_CHARS

MAX_MEMORY_ID_CHARS = 200
MAX_PATH_CHARS = 1_024
MAX_SENTENCE_CHARS = 2_000
"""The longest description, reason or phrase that is taken from an answer."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}|$)", re.ASCII)
_YEARS = range(1900, 3000)


def parse_time(text: str, assumed: tzinfo | None = UTC) -> datetime:
    """An RFC 3339 time, always with an offset; one without is read in ``assumed``.

    A date alone is its midnight. Raises ``ValueError`` that says what is expected, also for years
    outside 1900 to 2999: not every database and time zone can hold those.
    """
    spelt = text.strip().upper()
    try:
        time = datetime.fromisoformat(spelt if _DATE.match(spelt) else "")
    except ValueError:
        raise ValueError("must be a time in RFC 3339, such as 2026-01-31T09:00:00+01:00") from None
    if time.year not in _YEARS:
        raise ValueError(f"must be in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return time.replace(tzinfo=assumed) if time.tzinfo is None else time


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters; remove them")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _time_of_payload(text: str) -> str:
    parse_time(text)
    return text


def _sentence(text: str) -> str:
    text = text.replace("\0", "").strip()
    if not text:
        raise ValueError("must not be blank")
    if len(text) > MAX_SENTENCE_CHARS:
        raise ValueError(f"must have at most {MAX_SENTENCE_CHARS} characters")
    return text


def _blank_is_null(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _time_of_answer(text: str) -> str:
    parse_time(text)
    return text.strip()


# Payloads.
Text = Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARS), AfterValidator(_no_nul)]
"""A client's text; it may be empty."""
FilledText = Annotated[Text, AfterValidator(_not_blank)]
MemoryId = Annotated[
    StrictStr, Field(min_length=1, max_length=MAX_MEMORY_ID_CHARS), AfterValidator(_no_nul)
]
"""Opaque: it need not be in ``memories``."""
ImagePath = Annotated[
    StrictStr,
    Field(min_length=1, max_length=MAX_PATH_CHARS),
    AfterValidator(_no_nul),
    AfterValidator(_not_blank),
]
"""Checked in form only: the process that accepts the job may not have the volume."""
Timestamp = Annotated[StrictStr, Field(max_length=64), AfterValidator(_time_of_payload)]
"""RFC 3339; UTC where it has no offset."""

# Answers.
Sentence = Annotated[StrictStr, AfterValidator(_sentence)]
OptionalSentence = Annotated[Sentence | None, BeforeValidator(_blank_is_null)]
Moment = Annotated[
    StrictStr,
    AfterValidator(_time_of_answer),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time that the LLM resolved, as it wrote it; ``parse_time`` gives its value."""
OptionalMoment = Annotated[Moment | None, BeforeValidator(_blank_is_null)]
Confidence = Annotated[float, Field(strict=True, ge=0, le=1)]
