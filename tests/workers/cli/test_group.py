"""What all commands have in common."""

import subprocess
import sys

import pytest

from workers.cli.group import _COMMANDS


def test_the_help_lists_every_command_and_the_exit_codes(run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in _COMMANDS:
        assert f"\n  {name} " in result.output
    assert "2  wrong usage" in result.output


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_explains_itself(run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: llm-jobs {name}" in result.output


def test_an_unknown_command_is_wrong_usage(run) -> None:
    result = run("lst")
    assert result.exit_code == 2
    assert "No such command 'lst'" in result.output


def test_the_version_is_told(run) -> None:
    assert "version" in run("--version").output


@pytest.mark.parametrize("name", ["list", "doctor", "migrate", "worker", "maintenance", "serve"])
def test_a_wrong_environment_is_told_in_full(
    run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("REDIS_URL", "localhost:6379")
    result = run(name)
    assert result.exit_code == 2
    assert "PORT: Input should be a valid integer" in result.output
    assert "REDIS_URL: must begin with redis://" in result.output


def test_a_client_command_does_not_load_the_engine() -> None:
    code = (
        "import sys; import workers.cli.submit; "
        "print(*{'sqlalchemy', 'rq', 'flask', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
