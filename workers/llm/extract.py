"""Finds the JSON in what an LLM wrote, and checks it."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from workers.llm.errors import InvalidAnswer

_MAX_EFFORT = 20_000_000
"""Characters read for beginnings that turn out to be no object; some 0.1 s."""
_MAX_PROBLEMS_NAMED = 5
_BEGINNING = re.compile(r'\{\s*["}]')
_LENIENT = json.JSONDecoder()


@dataclass(frozen=True)
class Extracted:
    """A JSON object as text. ``repaired``: it had to be cut out of a longer text."""

    json_text: str
    repaired: bool


def extract(text: str) -> Extracted:
    """The last complete JSON object in ``text``, after any thinking, out of fences and prose.

    Raises ``InvalidAnswer`` when there is none.
    """
    whole = text.strip()
    if next(_objects(whole), None) == whole:
        return Extracted(whole, repaired=False)
    found = list(_objects(without_thinking(whole)))
    if not found:
        raise InvalidAnswer("The reply holds no complete JSON object.", text=text)
    return Extracted(found[-1], repaired=True)


def without_thinking(text: str) -> str:
    """What follows the last ``</think>``; nothing of a thought that never ended."""
    _, closed, rest = text.rpartition("</think>")
    return rest.strip() if closed else text.partition("<think>")[0].strip()


def _objects(text: str) -> Iterator[str]:
    """The complete JSON objects in a text, one after the other, those inside others left out."""
    beginning, effort = _BEGINNING.search(text), 0
    while beginning and effort < _MAX_EFFORT:
        end = beginning.start() + 1
        try:
            end = _LENIENT.raw_decode(text, beginning.start())[1]
        except json.JSONDecodeError as error:
            # The error counts the lines up to here, so that each failure reads all before it.
            effort += error.pos
        except (ValueError, RecursionError):
            return  # a number of thousands of digits, or a depth that no answer has
        else:
            yield text[beginning.start() : end]
        beginning = _BEGINNING.search(text, end)


def validate(json_text: str, model: type[BaseModel], text: str) -> BaseModel:
    """The answer as ``model``, strictly: no number from a string, no NaN, ranges checked.

    ``text`` is the whole reply, kept on the error. Raises ``InvalidAnswer`` whose message says what
    is wrong without quoting the reply, so that it can be told to the LLM and stored.
    """
    try:
        value = json.loads(json_text, parse_constant=_not_finite, parse_float=_finite)
        if _holds_unstorable(value):
            raise InvalidAnswer("The answer holds a NUL or a broken character.", text=text)
        return model.model_validate_json(json_text, strict=True)
    except ValidationError as error:
        raise InvalidAnswer(f"The answer is not as asked: {_in_words(error)}.", text=text) from None
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"The answer is not valid JSON: {error}.", text=text) from None


def _not_finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _holds_unstorable(value: Any) -> bool:
    """True when a string inside holds what PostgreSQL refuses."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest.extend(item)
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in item):
            return True
    return False


def _in_words(error: ValidationError) -> str:
    """Where and what; not pydantic's own text, which quotes the input."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    named = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'the object'}: {problem['msg']}"
        for problem in problems[:_MAX_PROBLEMS_NAMED]
    ]
    more = len(problems) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
