"""``.env.example`` and the Procfile say what is so."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise

import pytest

from app.settings import load
from tests.packaging.deployment import (
    ALIASES,
    OTHER_VARIABLES,
    ROOT,
    env_example,
    insist_that_it_exists,
)


def test_env_example_lists_every_variable_and_no_other() -> None:
    assert env_example().keys() == ALIASES.keys() | OTHER_VARIABLES


@pytest.mark.parametrize("alias", ALIASES)
def test_env_example_gives_the_true_default(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = ALIASES[alias], env_example()[alias]
    default = getattr(load(), name)
    monkeypatch.setenv(alias, value)
    assert getattr(load(), name) == default


def test_env_example_has_a_line_of_meaning_above_each_variable() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if line and not line.startswith("#"):
            assert before.startswith("# "), line
            assert not before.startswith("# ---"), line


def test_a_shell_that_sources_env_example_loads_the_defaults() -> None:
    script = f"set -a; . {ROOT}/.env.example; exec {sys.executable} -c 'import app.settings as s; "
    script += "print(s.load() == s.Settings(), s.load().port)'"
    shell = ["env", "-i", f"PATH={os.environ['PATH']}", "sh", "-ec", script]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True 8000\n", "")


def test_the_procfile_names_the_processes_and_their_commands_exist() -> None:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    processes = {
        name: shlex.split(rest) for name, _, rest in (line.partition(":") for line in lines)
    }
    assert processes.keys() == {"web", "worker", "maintenance"}
    for command in processes.values():
        insist_that_it_exists(command)
