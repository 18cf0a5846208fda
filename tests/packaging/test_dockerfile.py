"""The Dockerfile: locked, compiled, not root's, and complete."""

import shlex

import yaml

from tests.packaging.deployment import ROOT, insist_that_it_exists, listed_packages


def _dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_the_image_runs_commands_and_sets_variables_that_exist() -> None:
    instructions = _dockerfile()
    for word, rest in instructions:
        if word in ("CMD", "HEALTHCHECK"):
            insist_that_it_exists(yaml.safe_load(rest[rest.index("[") :]))
    environment = {
        pair.partition("=")[0]
        for word, rest in instructions
        if word == "ENV"
        for pair in shlex.split(rest)
    }
    of_python = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    of_pip = {"PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}
    assert environment - of_python - of_pip == {"RQ_CONFIG", "RQ_WORKER_CLASS", "IMAGE_DIR"}


def test_the_image_is_locked_compiled_and_not_roots() -> None:
    instructions = _dockerfile()
    runs = " ".join(rest for word, rest in instructions if word == "RUN")
    assert "--require-hashes -r requirements.txt" in runs
    assert "compileall" in runs
    assert ("USER", "llm-jobs") in instructions
    assert ("HEALTHCHECK") in [word for word, _ in instructions]


def test_the_image_gets_every_package_and_file_that_the_installation_reads() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = {name.partition(".")[0] for name in listed_packages()}
    assert kept == packages | {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "requirements.in",
        "requirements.txt",
        "setup.cfg",
    }
