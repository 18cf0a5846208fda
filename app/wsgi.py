"""The application for a WSGI server: ``gunicorn 'app.wsgi:create()'``."""

import sys

from flask import Flask

from app import log
from app.api.bind import BindRefusedError, check_bind, listening_hosts
from app.api.factory import create_app
from app.intake import Intake
from app.settings import Settings, SettingsError, load
from app.store.database import open_database
from queues.dispatch import Dispatcher

# gunicorn's own "App failed to load": with another code it would start the worker for ever.
_EXIT_CODE = 4
_CONNECT_TIMEOUT_S = 3
_DAY_S = 86_400


def create() -> Flask:
    """Make the application from the environment; nothing is connected to until it is needed.

    A wrong environment, or a socket open to other machines without ``ALLOW_NO_KEYS=1``, ends the
    process with every error on stderr.
    """
    try:
        settings = load()
        for host in listening_hosts():
            check_bind(host, allow_no_keys=settings.allow_no_keys)
    except (SettingsError, BindRefusedError) as error:
        print(f"llm-jobs cannot start:\n{error}", file=sys.stderr)  # noqa: T201 - for people
        sys.exit(_EXIT_CODE)
    log.configure(settings)
    return build(settings)


def build(settings: Settings) -> Flask:
    """Make the application and what it works with."""
    database = open_database(
        settings.database_url,
        connect_timeout_s=_CONNECT_TIMEOUT_S,
        pool_size=settings.web_threads,
    )
    dispatcher = Dispatcher(
        settings.redis_dsn,
        job_timeout_s=settings.queue_job_timeout_s,
        failure_ttl_s=settings.retention_days * _DAY_S,
    )
    return create_app(settings, database, Intake(database, dispatcher, settings))
