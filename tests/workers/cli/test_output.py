"""Tables and progress."""

import io
import sys

import pytest

from workers.cli.output import compact, plain, print_table, progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("jobs", 2) as advance:
        advance("first \x1b[2J")
        advance("")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "jobs: 1/2 first \N{REPLACEMENT CHARACTER}[2J\njobs: 2/2\n"


def test_of_many_steps_each_tenth_part_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("jobs", 1_005) as advance:
        for _ in range(1_005):
            advance("")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "jobs: 100/1005"
    assert lines[-1] == "jobs: 1005/1005"
    assert len(lines) == 11


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("jobs", 1) as advance:
        advance("followup completed")
    assert "followup completed" in terminal.getvalue()
    assert "1/1" in terminal.getvalue()


def test_a_table_colours_states_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    print_table(("state",), [("failed",)])
    assert "\x1b[31mfailed" in terminal.getvalue()


def test_values_become_text_that_cannot_steer_a_terminal() -> None:
    assert plain("a\x1b]0;title\x07b\nc") == "a\ufffd]0;title\ufffdb\nc"
    assert plain(None) == compact(None) == ""
    assert compact({"a": "ü\x1b"}) == '{"a": "ü\\u001b"}'
