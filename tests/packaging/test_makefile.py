"""The Makefile and ``.ci/run``: what a person and a CI machine type first."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.packaging.deployment import ROOT

FIND_PYTHON = ["sh", str(ROOT / ".ci" / "find-python")]


def _find_python(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        FIND_PYTHON,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_what_one_can_make() -> None:
    help_text = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("run", "test", "check", "lock", "clean", "help"):
        assert f"  make {target} " in help_text


def test_every_target_of_the_makefile_that_is_no_file_is_phony() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert targets == set(phony.split())


def test_a_python_that_is_too_old_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1;; *) echo 3.9.2;; esac\n')
    old.chmod(0o755)
    found = _find_python(PYTHON=str(old))
    assert found.returncode == 1
    assert found.stdout == ""
    assert "needs Python 3.11 or 3.12" in found.stderr
    assert f"{old} (3.9.2)" in found.stderr
    assert "PYTHON=/path/to/python3.11 make run" in found.stderr


def test_a_python_that_is_named_is_taken() -> None:
    assert _find_python(PYTHON=sys.executable).stdout.strip() == sys.executable


def test_ci_runs_the_checks_and_then_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    makes = re.findall(r"^make .*?(check|test)\b", script.read_text(), re.MULTILINE)
    assert makes == ["check", "test"]
