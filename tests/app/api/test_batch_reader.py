import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api import batch_reader
from app.api.batch_reader import read_array, read_lines
from app.api.requests import MAX_BODY_BYTES
from app.errors import BadRequestError, LlmJobsError, TooLargeError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
entries = st.lists(st.dictionaries(texts, texts | st.integers() | st.lists(texts)), max_size=20)


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a slow network does."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._inner = io.BytesIO(data)
        self._piece = piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._inner.read(min(self._piece, len(buffer)))
        buffer[: len(chunk)] = chunk
        return len(chunk)


@given(entries, st.integers(1, 50), st.booleans())
@settings(max_examples=30, deadline=None)
def test_an_array_gives_its_elements_however_it_arrives(
    value: list[Any], piece: int, ascii_only: bool
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=1).encode()
    assert list(read_array(Dribble(body, piece))) == value


@given(entries, st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_lines_give_their_documents_however_they_arrive(value: list[Any], piece: int) -> None:
    body = "\n\r\n".join(json.dumps(entry) for entry in value).encode()
    assert list(read_lines(Dribble(body, piece))) == value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "must be a JSON array"),
        (b'{"a": 1}', "must be a JSON array"),
        (b'[{"a": 1} {"b": 2}]', "follows entry 0"),
        (b'[{"a": 1}, ', "Entry 1: Not valid JSON"),
        (b'[{"a": 1},]', "Entry 1: Not valid JSON"),
        (b'[{"a": 1}', "follows entry 0"),
        (b'[{"a": 1}] x', "more text"),
        (b'[{"a": NaN}]', "Entry 0: NaN"),
        (b'[{}, {"a": 1, "a": 1}]', "Entry 1: The key 'a'"),
        (b'["\xff"]', "not UTF-8"),
        (b'["\xc3', "not UTF-8"),
    ],
)
def test_a_body_that_is_no_strict_array_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        list(read_array(io.BytesIO(body)))


def test_an_element_over_1_mb_is_an_error_in_its_place() -> None:
    large = {"text": "ä" * (MAX_BODY_BYTES // 2)}
    body = json.dumps([1, large, 3], ensure_ascii=False).encode()
    first, second, third = read_array(io.BytesIO(body))
    assert (first, third) == (1, 3)
    assert isinstance(second, TooLargeError)


def test_an_element_under_1_mb_is_read() -> None:
    large = "x" * (MAX_BODY_BYTES - 2)
    assert list(read_array(io.BytesIO(json.dumps([large]).encode()))) == [large]


def test_an_element_far_over_1_mb_ends_the_reading() -> None:
    stream = io.BytesIO(b'["' + b"x" * (3 * MAX_BODY_BYTES) + b'"]')
    with pytest.raises(BadRequestError, match="Entry 0: It is over 1 MB, or not valid JSON"):
        list(read_array(stream))
    assert stream.tell() < 2 * MAX_BODY_BYTES


def test_blank_lines_do_not_keep_the_server_busy_for_long() -> None:
    with pytest.raises(BadRequestError, match="blank lines"):
        list(read_lines(io.BytesIO(b"\n" * (batch_reader.MAX_BLANK_LINES + 1))))


def test_a_wrong_line_is_an_error_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_reader, "MAX_BODY_BYTES", 100)
    long = json.dumps({"text": "x" * 500})
    lines = ["1", "{bad", long, '"\\ud800"', "\ufeff2", "", long]
    body = "\n".join(lines).encode() + b'\n"\xff"\n6'
    found = [
        type(entry) if isinstance(entry, LlmJobsError) else entry
        for entry in read_lines(io.BytesIO(body))
    ]
    assert found[0] == 1
    assert issubclass(found[1], BadRequestError)
    assert found[2:4] == [TooLargeError, BadRequestError]
    assert found[4:] == [2, TooLargeError, BadRequestError, 6]
