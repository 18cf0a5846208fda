"""Reads the files that install and start llm-jobs, for the tests of this folder."""

import configparser
from pathlib import Path
from typing import Any

import yaml

from app.settings import Settings
from workers.cli.group import main

ROOT = Path(__file__).parents[2]
ALIASES = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}
# Read by RQ's command line, by app.settings beside its fields, by Compose and by its images.
OTHER_VARIABLES = {"RQ_CONFIG", "RQ_WORKER_CLASS", "LLM_JOBS_CONFIG", "POSTGRES_PASSWORD"}
IMAGE_VARIABLES = {
    "redis": {"REDIS_PASSWORD"},
    "postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"},
}
OURS = ("web", "worker", "maintenance", "migrate")


def env_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a variable stands there twice"
    return {name: value for name, _, value in pairs}


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def insist_that_it_exists(command: list[str]) -> None:
    """``llm-jobs NAME``, with options that it has, or an ``rq`` command."""
    program, name, *options = command
    assert program == "llm-jobs", command
    found = main.get_command(None, name)  # type: ignore[arg-type]  # the context is not looked at
    assert found is not None, command
    known = {option for parameter in found.params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known, command


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def listed_packages() -> set[str]:
    return set(setup_cfg()["options"]["packages"].split())
