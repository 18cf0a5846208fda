"""Turns the words of a command line, and the lines of a file, into jobs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """``key=value`` words as a payload.

    A value is JSON if it parses as such, else a string; ``key=@file`` reads the file as a string,
    and ``key=@@text`` is the string ``@text``. Raises ``click.UsageError``.
    """
    payload: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise click.UsageError(f"{pair!r} is not key=value")
        if key in payload:
            raise click.UsageError(f"{key} is given twice")
        payload[key] = _value(key, value)
    return payload


def _value(key: str, value: str) -> Any:
    if value.startswith("@@"):
        return value[1:]
    if value.startswith("@"):
        return _content(key, Path(value[1:]))
    try:
        return parse_json(value)
    except ValueError:
        return value


def _content(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{key}: {path} is not UTF-8 text") from None
    except OSError as error:
        raise click.UsageError(f"{key}: cannot read {path}: {error.strerror}") from None


def parse_json(text: str) -> Any:
    """Strict JSON: NaN and Infinity, which Python would read, are refused with ``ValueError``."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_lines(lines: Iterable[str], defaults: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The jobs of a JSONL file as ``(line number, one line of JSON)``; empty lines are skipped.

    ``defaults`` stand in where a job names no such field. Raises ``click.UsageError`` on the first
    line that is no job, naming it.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            job = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from None
        if not isinstance(job, dict):
            raise click.UsageError(f"line {number} is not a JSON object")
        yield number, json.dumps({**defaults, **job})
