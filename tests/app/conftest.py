"""Fixtures of the intake's tests."""

from collections.abc import Callable
from typing import Any

import pytest

from app.intake import Intake
from app.settings import Settings
from app.store.database import Database
from tests.relays import DEAD_URL, dispatcher_of


@pytest.fixture
def make_intake(make_settings: Callable[..., Settings]) -> Callable[..., Intake]:
    def make(database: Database, redis_url: str, **variables: Any) -> Intake:
        return Intake(database, dispatcher_of(redis_url), make_settings(**variables))

    return make


@pytest.fixture
def intake(database: Database, redis_url: str, make_intake: Callable[..., Intake]) -> Intake:
    return make_intake(database, redis_url)


@pytest.fixture
def cut_off(database: Database, make_intake: Callable[..., Intake]) -> Intake:
    """An intake whose Redis is down."""
    return make_intake(database, DEAD_URL)
