import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.strict_json import MAX_DEPTH, NotJsonError, loads
from app.errors import BadRequestError

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
)
documents = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), inner)
    ),
)


@given(documents, st.booleans())
def test_every_storable_document_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert loads(f" {json.dumps(value, ensure_ascii=ascii_only)}\r\n") == value


@given(st.text())
def test_any_text_is_read_or_refused_as_a_bad_request(text: str) -> None:
    try:
        value = loads(text)
    except BadRequestError:
        return
    assert value == json.loads(text)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_nesting_ends_at_64_levels() -> None:
    assert loads(nested(MAX_DEPTH))
    assert loads('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)
    assert loads("[" + ",".join(["[]"] * 1000) + "]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (nested(MAX_DEPTH + 1), "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested too deeply"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[1e400]", "1e400 is too large"),
        (f"[{'9' * 5000}]", "too many digits"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        (r'["\u0000"]', "NUL"),
        (r'{"a": {"\ud800x": 1}}', "surrogate"),
        (r'[["\udC00"]]', "surrogate"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        loads(text)


@pytest.mark.parametrize("text", ["", " ", "{", "[1,]", "{'a': 1}", "nul", '["\t"]', "[1] [2]"])
def test_what_is_not_json_is_refused_as_such(text: str) -> None:
    with pytest.raises(NotJsonError, match="Not valid JSON"):
        loads(text)


def test_a_surrogate_pair_and_an_escaped_backslash_are_text_like_any_other() -> None:
    assert loads(r'["\ud83d\ude00", "\\u0000", "\\ud800"]') == ["😀", r"\u0000", r"\ud800"]
