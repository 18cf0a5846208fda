"""What the views work with, held by the app object: there are no globals."""

from dataclasses import dataclass

from flask import Flask, current_app

from app.api.deadline import Bounded
from app.intake import Intake
from app.settings import Settings
from app.store.database import Database
from app.store.job_queries import WaitingCount
from queues.stats import RedisStats

_NAME = "llm_jobs"


@dataclass(frozen=True)
class Tick:
    """That SQL answers, and when maintenance last ran; ``None``: never."""

    age_s: float | None


@dataclass(frozen=True)
class Services:
    """The collaborators of every view."""

    settings: Settings
    database: Database
    intake: Intake
    redis_stats: RedisStats
    tick: Bounded[Tick | None]
    waiting: Bounded[dict[str, WaitingCount] | None]


def install(app: Flask, services: Services) -> None:
    """Give the app its services."""
    app.extensions[_NAME] = services


def services() -> Services:
    """The services of the app that handles this request."""
    found = current_app.extensions[_NAME]
    assert isinstance(found, Services)
    return found
