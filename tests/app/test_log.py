import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from app import log
from app.settings import Settings


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """``configure`` changes the process's loggers; put them back."""
    root = logging.getLogger()
    names = ("rq.worker", "rq.job", "urllib3", "alembic", "PIL")
    before = (root.handlers[:], root.level)
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:], _ = before[0], root.setLevel(before[1])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def configure(make_settings: Callable[..., Settings]) -> Callable[..., None]:
    def configure(**variables: Any) -> None:
        log.configure(make_settings(**variables))

    return configure


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def test_a_json_line_has_the_promised_keys(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    logging.getLogger("workers.relay").warning("took it back", extra={"job_id": "j", "x": 1.5})

    (line,) = _lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {
        "level": "warning",
        "message": "took it back",
        "module": "workers.relay",
        "job_id": "j",
        "x": 1.5,
    }


def test_arguments_and_exceptions_are_written_on_one_line(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    try:
        int("several\nlines")
    except ValueError:
        logging.getLogger("a").exception("%d failed", 3)

    (line,) = _lines(capsys)
    assert line["message"] == "3 failed"
    assert "ValueError" in line["exception"]


def test_the_level_is_the_one_that_was_set(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LOG_LEVEL="WARNING")
    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")

    assert [line["message"] for line in _lines(capsys)] == ["loud"]


def test_libraries_that_chatter_are_quiet(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LOG_LEVEL="DEBUG")
    logging.getLogger("urllib3.connectionpool").debug("https://host?key=secret")
    logging.getLogger("urllib3").warning("kept")

    assert [line["message"] for line in _lines(capsys)] == ["kept"]


def test_rqs_own_handlers_do_not_write_every_line_twice(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("rq.worker")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.propagate = False
    configure()
    logger.warning("once")

    assert [line["message"] for line in _lines(capsys)] == ["once"]


def test_text_for_people_is_not_json(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LOG_FORMAT="console")
    logging.getLogger("a").warning("hello", extra={"job_id": "j"})

    out = capsys.readouterr().out
    assert "hello" in out
    assert "job_id=j" in out
    with pytest.raises(json.JSONDecodeError):
        json.loads(out)


def test_configuring_twice_writes_each_line_once(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    configure()
    logging.getLogger("a").warning("once")

    assert len(_lines(capsys)) == 1
    structlog.reset_defaults()
