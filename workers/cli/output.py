"""What commands print: tables and progress for a person, JSON for a script."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_WIDTH_IN_A_FILE = 160
_FEW = 20
_COLOURS = {
    "completed": "green",
    "ok": "green",
    "queued": "cyan",
    "processing": "cyan",
    "warn": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "error": "red",
    "fail": "red",
}

Advance = Callable[[str], None]


def console() -> Console:
    """Standard output. What jobs hold is data: no markup in it is obeyed."""
    width = None if sys.stdout.isatty() else _WIDTH_IN_A_FILE
    return Console(markup=False, highlight=False, width=width, soft_wrap=False)


def plain(value: object) -> str:
    """``value`` as text that cannot steer the terminal it is printed on."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def without_login(url: str) -> str:
    """``url`` as it may be shown: a name and password in it are left out."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def compact(value: object) -> str:
    """JSON on one line; nothing for ``None``."""
    return "" if value is None else plain(json.dumps(value, ensure_ascii=False))


def print_json(value: object) -> None:
    """JSON for a script: all of it, indented, nothing else on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table; words that name a state or a verdict are coloured on a terminal."""
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def _cell(value: object) -> Text:
    text = plain(value)
    return Text(text, style=_COLOURS.get(text, ""))


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """A bar on a terminal, lines elsewhere; yields what to call, with a word, for each step.

    Goes to standard error, so that ``--json`` stays readable. Of many steps only each tenth part
    is told in a line.
    """
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(title, total=total)
            yield lambda text: bar.update(task, advance=1, description=plain(text) or title)
    else:
        yield _lines(title, total)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
    )


def _lines(title: str, total: int) -> Advance:
    done = 0
    step = 1 if total <= _FEW else total // 10

    def advance(text: str) -> None:
        nonlocal done
        done += 1
        if done % step == 0 or done == total:
            click.echo(f"{title}: {done}/{total} {plain(text)}".rstrip(), err=True)

    return advance


def job_row(job: dict[str, Any]) -> list[object]:
    """The cells of a job in a list: see ``JOB_COLUMNS``."""
    return [
        job["id"],
        job["job_type"],
        job["status"],
        job["priority"],
        f"{job['attempts']} ({job['failures']}/{job['max_attempts']} failed)",
        job["created_at"],
        job.get("error_message") or "",
    ]


JOB_COLUMNS = ("id", "job type", "status", "priority", "attempts", "created", "last error")
