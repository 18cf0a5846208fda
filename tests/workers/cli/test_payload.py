"""Words of a command line as payloads."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cli.payload import parse_lines, parse_pairs


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ("a=null", None),
        ('a={"b": [1]}', {"b": [1]}),
        ('a="1"', "1"),
        ("a=buy milk", "buy milk"),
        ("a=", ""),
        ("a=x=y", "x=y"),
        ("a=@@home", "@home"),
        ("a=NaN", "NaN"),
        ("a=Infinity", "Infinity"),
        ("a=007", "007"),
    ],
)
def test_a_value_is_json_if_it_parses_and_else_a_string(word: str, value: Any) -> None:
    assert parse_pairs([word]) == {"a": value}


def test_a_value_that_begins_with_at_is_a_files_content(tmp_path: Path) -> None:
    (tmp_path / "mail.txt").write_text("1\nGrüße", encoding="utf-8")
    assert parse_pairs([f"body=@{tmp_path}/mail.txt"]) == {"body": "1\nGrüße"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["query"], "'query' is not key=value"),
        (["=x"], "'=x' is not key=value"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=@/no/such/file"], "a: cannot read /no/such/file: No such file or directory"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], sentence: str) -> None:
    with pytest.raises(click.UsageError, match=sentence):
        parse_pairs(words)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(click.UsageError, match=r"a: .*photo\.jpg is not UTF-8 text"):
        parse_pairs([f"a=@{tmp_path}/photo.jpg"])


@given(st.text(st.characters(exclude_characters="@", codec="utf-8")))
def test_a_value_is_never_refused_and_never_changed(value: str) -> None:
    parsed = parse_pairs([f"key={value}"])["key"]
    assert parsed == value or parsed == json.loads(value)


def test_lines_keep_their_numbers_and_take_defaults() -> None:
    lines = ['{"job_type": "followup", "user_id": 7}\n', "\n", '{"job_type": "followup"}\n']
    assert list(parse_lines(lines, {"user_id": 1})) == [
        (1, '{"user_id": 7, "job_type": "followup"}'),
        (3, '{"user_id": 1, "job_type": "followup"}'),
    ]


@pytest.mark.parametrize("line", ["{", "[1]", "NaN", '"text"', "[" * 100_000])
def test_a_line_that_is_no_job_is_named(line: str) -> None:
    with pytest.raises(click.UsageError, match="line 2 is not"):
        list(parse_lines(["{}", line], {}))
