import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from app.job_types import registry
from app.job_types.registry import all_job_types

MODULE = """
from app.job_types.followup import Followup

class Other(Followup):
    name = "{name}"
    queue = "{queue}"

JOB_TYPE = Other()
"""


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, str]], None]]:
    """Puts a package of the given modules in the place of ``app.job_types``."""

    def write(modules: dict[str, str]) -> None:
        folder = tmp_path / "other_job_types"
        folder.mkdir()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        package = ModuleType("other_job_types")
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, "other_job_types", package)
        monkeypatch.setattr(registry, "package", package)
        all_job_types.cache_clear()

    yield write
    all_job_types.cache_clear()
    for name in [name for name in sys.modules if name.startswith("other_job_types.")]:
        del sys.modules[name]


def test_a_new_file_is_a_new_job_type(package: Callable[[dict[str, str]], None]) -> None:
    package(
        {
            "zebra": MODULE.format(name="zebra", queue="q1"),
            "ant": MODULE.format(name="ant", queue="q2"),
            "plain_code": "JOB_TYPE = 'not one'",
        }
    )
    assert list(all_job_types()) == ["ant", "zebra"]


@pytest.mark.parametrize(("name", "queue"), [("ant", "q2"), ("zebra", "q1")])
def test_a_name_or_a_queue_that_is_taken_is_an_error_at_start(
    name: str, queue: str, package: Callable[[dict[str, str]], None]
) -> None:
    package(
        {
            "one": MODULE.format(name="ant", queue="q1"),
            "two": MODULE.format(name=name, queue=queue),
        }
    )
    with pytest.raises(RuntimeError, match="two: the name or queue of"):
        all_job_types()
