"""Makes the Flask application."""

from importlib.metadata import version
from pathlib import Path

from apiflask import APIFlask
from flask import Flask, request
from flask.json.provider import DefaultJSONProvider

from app.api import (
    dashboard,
    events,
    health,
    job_batches,
    llm_jobs,
    memories,
    openapi,
    problems,
    same_origin,
    security_headers,
    tasks,
)
from app.api.deadline import Bounded
from app.api.requests import ApiRequest
from app.api.services import Services, install
from app.errors import BadRequestError
from app.intake import Intake
from app.settings import Settings
from app.store.database import Database
from app.web import pages
from queues.stats import RedisStats

_HEALTH_TIMEOUT_S = 1.0
_WEB = Path(pages.__file__).parent


def create_app(settings: Settings, database: Database, intake: Intake) -> Flask:
    """The application with its routes. Nothing is connected to until a request needs it."""
    app = APIFlask(
        "app.api",
        title="llm-jobs",
        version=version("llm-jobs"),
        docs_path=None,
        json_errors=False,
        static_folder=str(_WEB / "static"),
        template_folder=str(_WEB / "templates"),
    )
    app.request_class = ApiRequest
    app.json = _Json(app)
    install(
        app,
        Services(
            settings,
            database,
            intake,
            RedisStats(settings.redis_dsn),
            Bounded(lambda: health.read_tick(database), _HEALTH_TIMEOUT_S),
            Bounded(lambda: health.read_waiting(database), _HEALTH_TIMEOUT_S),
        ),
    )
    problems.register(app)
    security_headers.register(app)
    same_origin.register(app, settings)
    openapi.register(app)
    app.before_request(_refuse_nul)
    for module in (llm_jobs, job_batches, memories, tasks, events, health, pages):
        app.register_blueprint(module.blueprint)
    dashboard.mount(app, settings.redis_dsn)
    return app


class _Json(DefaultJSONProvider):
    """Keeps the fields in the order in which the models declare them."""

    sort_keys = False
    mimetype = "application/json"


def _refuse_nul() -> None:
    """PostgreSQL has no text with NUL in it, so nothing can be found or stored under it."""
    if "\x00" in request.path or any("\x00" in value for value in request.args.values()):
        raise BadRequestError("The address holds a NUL character.")
