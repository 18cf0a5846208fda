"""Reads a batch as a stream: a JSON array, or JSONL, one entry at a time.

Neither form is ever held in memory as a whole as text: an entry has the limit of a single job.
"""

import codecs
import io
import itertools
from collections.abc import Iterator
from typing import IO, Any

from app.api import strict_json
from app.api.requests import MAX_BODY_BYTES, decode
from app.api.strict_json import NotJsonError
from app.errors import BadRequestError, LlmJobsError, TooLargeError

_CHUNK_BYTES = 256 * 1024
MAX_BLANK_LINES = 100_000
_LONGEST_UTF8_BYTES = 4

Entry = Any | LlmJobsError
"""A document, or what is wrong with it."""


def read_lines(stream: IO[bytes]) -> Iterator[Entry]:
    """The documents of JSONL; a wrong line is an error in its place, a blank one is nothing."""
    reader = io.BufferedReader(stream, _CHUNK_BYTES)  # type: ignore[type-var]  # has readinto
    blank_lines = 0
    while line := reader.readline(MAX_BODY_BYTES + 1):
        if len(line) > MAX_BODY_BYTES:
            while line and not line.endswith(b"\n"):
                line = reader.readline(MAX_BODY_BYTES)
            yield _too_large()
        elif line.strip():
            yield _document(line)
        elif (blank_lines := blank_lines + 1) > MAX_BLANK_LINES:
            raise BadRequestError(f"There are more than {MAX_BLANK_LINES:,} blank lines.")


def _document(line: bytes) -> Entry:
    try:
        return strict_json.loads(decode(line))
    except BadRequestError as error:
        return error


def _too_large() -> TooLargeError:
    return TooLargeError("The entry is over 1 MB.")


def read_array(stream: IO[bytes]) -> Iterator[Entry]:
    """The elements of a JSON array; one over 1 MB is an error in its place.

    Raises ``BadRequestError`` when the body is not an array in strict JSON.
    """
    text = _Text(stream)
    if text.peek() != "[":
        raise NotJsonError("The body must be a JSON array of jobs (or JSONL: see Content-Type).")
    text.take()
    separator = text.peek()
    for index in itertools.count():
        if separator == "]" and index == 0:
            break
        try:
            yield text.element()
        except BadRequestError as error:
            raise BadRequestError(f"Entry {index}: {error.message}") from None
        separator = text.peek()
        if separator not in ("]", ","):
            raise NotJsonError(f"Not valid JSON: no ',' or ']' follows entry {index}.")
        if separator == "]":
            break
        text.take()
    text.take()
    if text.peek():
        raise NotJsonError("Not valid JSON: more text follows the end of the array.")


class _Text:
    """The stream as text, of which about one entry is held."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._held = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._at = strict_json.skip_space(self._held, self._at)
            if self._ended or self._at < len(self._held):
                return self._held[self._at : self._at + 1]
            self._read_more()

    def take(self) -> None:
        """Go past the character that ``peek`` showed."""
        self._at += 1

    def element(self) -> Entry:
        """The element that comes next; raises ``BadRequestError``, also when its end is unknown."""
        self.peek()
        while not self._ended and len(self._held) - self._at <= MAX_BODY_BYTES:
            self._read_more()
        start = self._at
        try:
            value, self._at = strict_json.decode_at(self._held, start)
        except NotJsonError:
            if self._ended:
                raise
            raise BadRequestError("It is over 1 MB, or not valid JSON.") from None
        may_be_large = (self._at - start) * _LONGEST_UTF8_BYTES > MAX_BODY_BYTES
        if may_be_large and len(self._held[start : self._at].encode()) > MAX_BODY_BYTES:
            return _too_large()
        return value

    def _read_more(self) -> None:
        chunk = self._stream.read(_CHUNK_BYTES)
        self._ended = not chunk
        try:
            more = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            raise BadRequestError("The body is not UTF-8 text.") from None
        self._held = self._held[self._at :] + more
        self._at = 0
