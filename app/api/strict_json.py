"""JSON read strictly: what two parsers could read differently, or a database refuse, is an error.

Refused: NaN and Infinity, numbers too large for a float, duplicate keys, nesting over 64 levels,
and text that holds NUL or half of a surrogate pair (PostgreSQL stores neither).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from app.errors import BadRequestError

MAX_DEPTH = 64
_SPACE = re.compile(r"[ \t\r\n]*+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Only an escape can put such a character into text that was decoded from UTF-8.
_ESCAPE_OF_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class NotJsonError(BadRequestError):
    """The text is not JSON at all: where the document ends is unknown."""


def loads(text: str) -> Any:
    """The one JSON document that ``text`` is. Raises ``BadRequestError``, saying what is wrong."""
    value, end = decode_at(text, skip_space(text, 0))
    end = skip_space(text, end)
    if end != len(text):
        raise NotJsonError(f"Not valid JSON: more text follows its end, at character {end + 1}.")
    return value


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """The document that begins at ``start``, and where it ends. Raises ``BadRequestError``."""
    try:
        value, end = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        message = f"Not valid JSON: {error.msg} at character {error.pos - start + 1}."
        raise NotJsonError(message) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # Python refuses integers of more than 4,300 digits: reading them takes quadratic time.
        raise BadRequestError("A number has too many digits.") from None
    _check(value, text, start, end)
    return value, end


def skip_space(text: str, start: int) -> int:
    """Where the first character stands that is no space, from ``start`` on."""
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _check(value: Any, text: str, start: int, end: int) -> None:
    """Look at depth and text, but only where a quick look does not rule trouble out."""
    if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH:
        _check_depth(value)
    if _ESCAPE_OF_UNSTORABLE.search(text, start, end):
        _check_text(value)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise _too_deep()


def _children(value: Any) -> Iterator[Any]:
    """The containers directly inside a container."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (child for child in inner if isinstance(child, dict | list))


def _check_text(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if _UNSTORABLE.search(item):
                raise BadRequestError(
                    "A text holds a NUL character or half of a surrogate pair (\\u0000, or one "
                    "\\ud8xx or \\udcxx alone), which cannot be stored."
                )
        elif isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _too_deep() -> BadRequestError:
    return BadRequestError(f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        [(key, _times)] = Counter(key for key, _value in pairs).most_common(1)
        raise BadRequestError(f"The key {key[:100]!r} stands twice in one object.")
    return document


def _no_constant(name: str) -> NoReturn:
    raise BadRequestError(f"{name} is not JSON. Use null, or a number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequestError(f"The number {digits[:40]} is too large.")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
)
