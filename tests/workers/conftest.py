"""Fixtures of the workers' tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workers import runtime
from workers.runtime import Runtime


@pytest.fixture
def install(make_settings) -> Iterator[Callable[..., Runtime]]:
    """Make a runtime for a database and an LLM the process's own."""

    def make(database: Any, llm: Any, **variables: Any) -> Runtime:
        made = Runtime(make_settings(**variables), database, llm, worker_name="worker-1")
        runtime.install(made)
        return made

    yield make
    runtime.install(None)
