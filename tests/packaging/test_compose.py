"""``docker-compose.yml``: every command and variable in it exists; nothing is open to others."""

import re
from pathlib import Path

import pytest

from app.settings import load
from tests.packaging.deployment import (
    ALIASES,
    IMAGE_VARIABLES,
    OTHER_VARIABLES,
    OURS,
    ROOT,
    compose,
    env_example,
    insist_that_it_exists,
)


def test_compose_has_the_processes_and_the_servers() -> None:
    assert compose()["services"].keys() == {*OURS, "redis", "postgres"}


def test_compose_runs_commands_that_exist() -> None:
    services = compose()["services"]
    for name in OURS:
        insist_that_it_exists(services[name]["command"])


def test_compose_checks_everybodys_health_and_waits_for_it() -> None:
    services = compose()["services"]
    for name, service in services.items():
        if name == "migrate":  # it ends: those that need it wait for that
            continue
        kind, *command = service["healthcheck"]["test"]
        assert kind in ("CMD", "CMD-SHELL")
        if name in OURS:
            insist_that_it_exists(command)
            needs = service["depends_on"]
            assert needs["migrate"]["condition"] == "service_completed_successfully"
            for server in ("redis", "postgres"):
                assert needs[server]["condition"] == "service_healthy"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_compose_sets_variables_that_exist() -> None:
    for name, service in compose()["services"].items():
        known = ALIASES.keys() | OTHER_VARIABLES if name in OURS else IMAGE_VARIABLES[name]
        assert service["environment"].keys() <= known
        assert name not in OURS or service["env_file"] == ".env"


def test_compose_reads_variables_that_env_example_has() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    read = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | set(re.findall(r"\$\$(\w+)", text))
    assert read == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "PORT"}
    assert read <= env_example().keys()


def test_compose_gives_settings_that_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OURS:
        with monkeypatch.context() as patch:
            for variable, value in compose()["services"][name]["environment"].items():
                patch.setenv(variable, re.sub(r"\$\{\w+(:[-?][^}]*)?\}", "secret", value))
            settings = load()
        assert settings.database_url == "postgresql+psycopg://llm_jobs:secret@postgres/llm_jobs"
        assert settings.redis_dsn == "redis://:secret@redis:6379/0"
        assert settings.image_dir == Path("/data/images")


def test_compose_publishes_on_loopback_alone() -> None:
    for name, service in compose()["services"].items():
        ports = service.get("ports", [])
        assert ports == (["127.0.0.1:${PORT:-8000}:8000"] if name == "web" else [])


def test_compose_shares_the_images_of_web_and_worker() -> None:
    document = compose()
    for name in ("web", "worker"):
        assert "image-data:/data/images" in document["services"][name]["volumes"]
    volumes = {
        volume.partition(":")[0]
        for service in document["services"].values()
        for volume in service.get("volumes", [])
    }
    assert volumes == document["volumes"].keys()


def test_compose_lets_a_worker_finish_its_job_and_restarts_maintenance() -> None:
    services = compose()["services"]
    grace_s = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > load().queue_job_timeout_s
    assert services["maintenance"]["restart"] == "always"


def test_compose_gives_redis_a_password_and_a_disk() -> None:
    redis = compose()["services"]["redis"]
    assert "--requirepass" in redis["command"][2]
    assert "--appendonly yes" in redis["command"][2]
    assert redis["volumes"] == ["redis-data:/data"]


def test_compose_takes_the_powers_away_that_nobody_needs() -> None:
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
