"""setup.cfg and the locks: complete, hashed, and without an index."""

import re
from pathlib import Path

import pytest

from tests.packaging.deployment import ROOT, listed_packages, setup_cfg


def test_setup_cfg_lists_every_package() -> None:
    tops = {name.partition(".")[0] for name in listed_packages()}
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in tops
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed_packages() == found


def test_every_file_that_is_no_module_is_packed_too() -> None:
    packed = {
        path
        for package, patterns in setup_cfg()["options.package_data"].items()
        for pattern in re.split(r"[,\s]+", patterns.strip())
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
        if path.is_file()
    }
    tops = {name.partition(".")[0] for name in listed_packages()}
    found = {
        path
        for top in tops
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    # Alembic's template makes new migrations, in a checkout only.
    assert found - packed == {ROOT / "migrations" / "script.py.mako"}


def test_every_folder_with_modules_is_a_package() -> None:
    tops = {name.partition(".")[0] for name in listed_packages()}
    folders = {path.parent for top in tops for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def _names(path: Path) -> set[str]:
    """The distributions that a requirements file names, as PEP 503 spells them."""
    names = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line):
            names.add(re.sub(r"[-_.]+", "-", match.group()).lower())
        elif line.startswith("-r "):
            names |= _names(path.parent / line.removeprefix("-r "))
    return names


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_a_lock_pins_and_hashes_what_its_source_names(name: str) -> None:
    lock = ROOT / f"{name}.txt"
    assert _names(ROOT / f"{name}.in") <= _names(lock)
    entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))
    packages = [entry for entry in entries if re.match(r"[A-Za-z0-9]", entry)]
    assert len(packages) > 20
    for entry in packages:
        assert re.match(r"\S+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "://" not in text
    assert "find-links" not in text


def test_what_runs_is_locked_alike_for_development() -> None:
    def pins(name: str) -> set[str]:
        return set(
            re.findall(r"^\S+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        )

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_settings_are_read_in_one_place() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for top in ("app", "queues", "workers", "demo")
        for path in (ROOT / top).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    ]
    assert readers == ["app/settings.py"]
