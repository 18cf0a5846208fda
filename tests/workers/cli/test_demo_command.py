"""When ``llm-jobs demo`` cannot start, or its jobs do not complete. The whole of it: tests/flow."""

import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from queues.embedded import NoRedisServerError, free_port
from workers.cli import demo, demo_system, processes


@pytest.fixture
def start(run, tmp_path: Path):
    """``demo --once`` on a free port and an empty folder."""

    def start(*options: object):
        return run("demo", "--once", "--port", free_port(), "--data-dir", tmp_path, *options)

    return start


def test_a_redis_of_the_environment_that_is_away_ends_it_with_3(
    start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{free_port()}/0")
    result = start()
    assert result.exit_code == 3
    assert "the Redis of REDIS_URL does not answer (ConnectionError)" in result.output
    assert "secret" not in result.output


def test_a_database_of_the_environment_that_is_away_ends_it_with_3(
    start, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("LLM_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    result = start()
    assert result.exit_code == 3
    assert "the database of DATABASE_URL does not answer" in result.output
    assert "secret" not in result.output


def test_a_machine_without_a_redis_server_is_told_what_to_install(
    start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none() -> Path:
        raise NoRedisServerError("No Redis server found. Install one.")

    monkeypatch.setattr("queues.embedded.find_server", find_none)
    result = start()
    assert result.exit_code == 1
    assert "No Redis server found. Install one." in result.output


def test_a_port_that_is_no_port_is_told(run) -> None:
    result = run("demo", "--port", 99_999)
    assert result.exit_code == 2
    assert "PORT: Input should be less than or equal to 65535" in result.output


def _failing(word: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.exit('no {word} today')"]


def _sleeping() -> list[str]:
    return [sys.executable, "-c", "import time; time.sleep(600)"]


def test_a_process_that_dies_at_the_start_is_named_with_its_last_words(
    start, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(processes, "stand_in", lambda _port: _sleeping())
    monkeypatch.setattr(processes, "web", lambda _settings: _failing("web"))
    monkeypatch.setattr(processes, "worker", lambda _queues: _sleeping())
    monkeypatch.setattr(processes, "maintenance", _sleeping)
    result = start()
    assert result.exit_code == 1
    assert "web has ended (exit code 1)" in result.output
    assert "  no web today" in result.output


def test_a_system_that_does_not_come_up_in_time_says_what_is_missing(
    start, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(demo_system, "_START_TIMEOUT_S", 0.5)
    for name in ("stand_in", "web", "worker", "maintenance"):
        monkeypatch.setattr(processes, name, lambda *_: _sleeping())
    result = start()
    assert result.exit_code == 3
    assert "the web process does not report health" in result.output


@pytest.mark.parametrize(
    ("workers", "age", "text"),
    [
        (1, 0.5, "only 1 workers have come up"),
        (2, None, "maintenance has not ticked"),
        (2, 0.5, ""),
    ],
)
def test_what_is_missing_is_read_from_health(workers: int, age: float | None, text: str) -> None:
    class Api:
        def get(self, _path: str) -> object:
            return {"workers": {"count": workers}, "maintenance": {"last_tick_age_seconds": age}}

    assert demo_system.what_is_missing(Api()) == text  # type: ignore[arg-type]  # only get() is used


def test_jobs_that_did_not_complete_end_it_with_1_and_signals_are_as_before(
    start, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(demo, "DemoSystem", lambda *_: nullcontext())
    monkeypatch.setattr(demo, "_show_sample_jobs", lambda *_: False)
    result = start()
    assert result.exit_code == 1
    assert "not every sample job completed" in result.output
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_default_port_is_not_offered_again_as_the_way_out() -> None:
    assert demo_system.other_port(8000) != 8000
    assert demo_system.other_port(9000) != 9000
