"""``llm-jobs doctor``: one verdict for each thing that must work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from redis import Redis

from app.store import relay_state
from app.store.database import Database
from queues.embedded import free_port

Look = Callable[[str], dict[str, str]]


@pytest.fixture
def look(run) -> Look:
    """The finding of one check."""

    def look(name: str, *options: str) -> dict[str, str]:
        result = run("doctor", "--only", name, "--json", *options)
        [finding] = json.loads(result.stdout)
        assert result.exit_code == (1 if finding["verdict"] == "fail" else 0)
        assert finding["verdict"] == "ok" or finding["advice"]
        return finding

    return look


def test_everything_is_looked_at_and_told_in_a_table(run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    for name in ("settings", "database", "redis", "llm", "images", "maintenance", "workers", "web"):
        assert f"│ {name} " in result.stdout
    assert "not in order: " in result.stderr


def test_a_database_without_a_file_is_not_made(look, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    assert look("database")["advice"] == "llm-jobs migrate"
    assert look("maintenance")["text"] == "never ran"
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables_needs_migrating(look, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")
    assert look("database")["text"].startswith("its schema is empty")
    assert look("maintenance")["text"].startswith("unknown")


def test_a_database_that_is_away_is_told_without_its_password(look, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    finding = look("database")
    assert (finding["verdict"], finding["text"]) == ("fail", "does not answer")


def test_a_migrated_database_is_in_order(look, monkeypatch, sqlite_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    assert look("database")["text"].startswith("SQLite, schema ")


def test_maintenance_is_judged_by_its_last_tick(
    look, monkeypatch, sqlite_url: str, sqlite_database: Database
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    assert look("maintenance")["text"] == "never ran"
    with sqlite_database.begin() as connection:
        relay_state.finish_tick(connection)
    assert look("maintenance")["verdict"] == "ok"
    with sqlite_database.shifted(-3600).begin() as connection:
        relay_state.finish_tick(connection)
    assert look("maintenance")["text"].startswith("last ticked 1:00:0")


def test_redis_is_judged_by_its_version(look, monkeypatch, redis_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert look("redis")["verdict"] == "ok"
    monkeypatch.setattr(Redis, "info", lambda *_: {"redis_version": "6.0.16"})
    assert look("redis") == {
        "what": "redis",
        "verdict": "fail",
        "text": "version 6.0.16",
        "advice": "install Redis 6.2 or later",
    }


def test_redis_that_is_away_leaves_workers_unknown(look, monkeypatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    assert look("redis")["verdict"] == "fail"
    assert look("workers")["advice"] == "see redis"


def test_workers_are_counted_here_or_anywhere(
    look, monkeypatch, redis_url: str, redis_client: "Redis[bytes]"
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert look("workers")["text"] == "none is up"
    redis_client.sadd("rq:workers", "rq:worker:w1")
    redis_client.hset(
        "rq:worker:w1",
        mapping={
            "birth": "2030-01-01T00:00:00.000000Z",
            "last_heartbeat": "2030-01-01T00:00:00.000000Z",
            "hostname": "elsewhere",
            "queues": "llm_intent",
            "state": "idle",
        },
    )
    assert look("workers")["text"] == "1 up"
    assert look("workers", "--this-host")["text"] == "none is up"


def test_images_need_a_place_that_can_be_written(look, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGE_DIR", str(tmp_path))
    assert look("images")["text"] == f"{tmp_path} is writable"
    monkeypatch.setenv("IMAGE_DIR", str(tmp_path / "a" / "b"))
    assert look("images")["text"].endswith("will be made when it is needed")
    (tmp_path / "file").touch()
    monkeypatch.setenv("IMAGE_DIR", str(tmp_path / "file" / "b"))
    assert look("images")["text"] == f"cannot write in {tmp_path / 'file'}"


def test_an_llm_that_is_not_set_or_not_there_fails(look, monkeypatch) -> None:
    assert look("llm")["text"] == "LLM_BASE_URL is not set"
    monkeypatch.setenv("LLM_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    assert "does not answer (ConnectionError)" in look("llm")["text"]


def _models(*names: str) -> dict[str, Any]:
    return {"data": [{"id": name} for name in names]}


@pytest.mark.parametrize(
    ("status", "document", "verdict", "text"),
    [
        (200, _models("mistral:latest", "llava"), "ok", "has llava, mistral"),
        (200, _models("gpt"), "warn", "does not list llava, mistral"),
        (200, ["?"], "warn", "its list of models cannot be read"),
        (401, {}, "fail", "refuses the key (401)"),
        (404, {}, "warn", "answers 404 to GET /models"),
        (302, {}, "warn", "answers 302 to GET /models"),
    ],
)
def test_an_llm_is_judged_by_its_models(
    look, monkeypatch, httpserver: HTTPServer, status: int, document: Any, verdict: str, text: str
) -> None:
    monkeypatch.setenv("LLM_BASE_URL", httpserver.url_for("/v1"))
    monkeypatch.setenv("LLM_API_KEY", "k")
    httpserver.expect_request(
        "/v1/models", headers={"Authorization": "Bearer k"}
    ).respond_with_json(document, status=status)
    finding = look("llm")
    assert (finding["verdict"], finding["text"]) == (verdict, text)


def test_the_web_process_is_judged_by_what_it_says(look, api: HTTPServer) -> None:
    ready = api.expect_request("/health/ready")
    health = api.expect_request("/health")
    ready.respond_with_json({"detail": "The database does not answer."}, status=503)
    assert look("web")["text"] == "not ready: The database does not answer."
    ready.respond_with_json({"status": "ready"})
    health.respond_with_json({"status": "unhealthy"}, status=503)
    assert look("web")["verdict"] == "warn"
    health.respond_with_json({"status": "healthy"})
    assert look("web")["verdict"] == "ok"


def test_a_web_process_that_is_not_there_fails(look, monkeypatch) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    assert look("web")["text"].endswith("does not answer")


@pytest.mark.parametrize(("name", "variable"), [("llm", "LLM_BASE_URL"), ("web", "LLM_JOBS_URL")])
def test_a_password_in_an_address_is_not_shown(look, monkeypatch, name: str, variable: str) -> None:
    monkeypatch.setenv(variable, f"http://me:secret@127.0.0.1:{free_port()}/v1")
    finding = look(name)
    assert finding["text"].startswith("http://127.0.0.1:")
    assert "secret" not in str(finding)
