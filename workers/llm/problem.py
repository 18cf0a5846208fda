"""Reads an error's body, whatever its shape: there is no standard among OpenAI's imitators."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MAX_READ_CHARS = 10_000


@dataclass(frozen=True)
class Problem:
    """What a server said about a request that it did not serve. Not redacted: not to be stored."""

    status: int
    message: str
    code: str = ""
    type: str = ""
    param: str = ""

    def names(self, pattern: str) -> bool:
        """True when a part of the error matches the pattern (case is ignored)."""
        parts = (self.message, self.code, self.type, self.param)
        return any(re.search(pattern, part, re.IGNORECASE) for part in parts)

    def codes(self, pattern: str) -> bool:
        """The same for its machine-readable parts alone."""
        return any(re.search(pattern, part, re.IGNORECASE) for part in (self.code, self.type))


def read_problem(status: int, body: bytes) -> Problem:
    """Make sense of an error's body: JSON of several shapes, HTML, text, or nothing."""
    text = body.decode("utf-8", errors="replace")[:_MAX_READ_CHARS].strip()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Problem(status, _without_markup(text))
    return problem_of(document, status, fallback=text)


def problem_of(document: Any, status: int = 200, fallback: str = "") -> Problem:
    """The same for a body that has been parsed; ``fallback`` is its text."""
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return Problem(status, _as_text(document))
    details = document.get("error")
    if isinstance(details, dict):
        document = details
    elif details:
        document = {**document, "message": details}
    message = next(_messages(document), "") or fallback
    return Problem(
        status,
        message[:_MAX_READ_CHARS],
        code=_as_text(document.get("code")),
        type=_as_text(document.get("type")),
        param=_as_text(document.get("param")),
    )


def _messages(document: dict[str, Any]) -> Iterator[str]:
    for key in ("message", "detail", "msg", "error_description", "title"):
        value = document.get(key)
        if isinstance(value, list):
            yield "; ".join(_one_detail(entry) for entry in value)
        elif value:
            yield _as_text(value)


def _one_detail(entry: Any) -> str:
    """One entry of FastAPI's ``detail``: where and what."""
    if not isinstance(entry, dict) or "msg" not in entry:
        return _as_text(entry)
    where = ".".join(str(part) for part in entry.get("loc") or [])
    return f"{where}: {entry['msg']} ({entry.get('type', '')})"


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_markup(text: str) -> str:
    if not re.match(r"\s*<", text):
        return text
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>", " ", text)
    return html.unescape(re.sub(r"<[^>]*>", " ", text))
