"""Fixtures of the API's tests: the application on real databases and a real Redis."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.api.factory import create_app
from app.intake import Intake
from app.settings import Settings
from app.store.database import Database
from queues.dispatch import Dispatcher

QUERY = {"query": "remind me to call the dentist tomorrow at 9"}


@pytest.fixture
def make_app(make_settings: Callable[..., Settings]) -> Callable[..., Flask]:
    """The application on a database and a Redis, with settings by variable name."""

    def make(database: Database, redis_url: str, **variables: Any) -> Flask:
        settings = make_settings(REDIS_URL=redis_url, **variables)
        dispatcher = Dispatcher(redis_url, job_timeout_s=600, failure_ttl_s=86_400)
        return create_app(settings, database, Intake(database, dispatcher, settings))

    return make


@pytest.fixture
def client(database: Database, redis_url: str, make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of the API; the test runs on SQLite and on PostgreSQL."""
    return make_app(database, redis_url).test_client()


@pytest.fixture
def sqlite_app(sqlite_database: Database, redis_url: str, make_app: Callable[..., Flask]) -> Flask:
    """The application on SQLite, for what does not depend on the database."""
    return make_app(sqlite_database, redis_url)


@pytest.fixture
def sqlite_client(sqlite_app: Flask) -> FlaskClient:
    """A client of the application on SQLite."""
    return sqlite_app.test_client()


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    """Submit a job and return it as the API answers."""

    def post(**fields: Any) -> dict[str, Any]:
        body = {"job_type": "intent_classify", "payload": QUERY, **fields}
        response = client.post("/llm_jobs", json=body)
        assert response.status_code == 201, response.text
        return dict(response.json)

    return post


@pytest.fixture
def assert_problem() -> Callable[..., dict[str, Any]]:
    """Check that a response is a problem with this status and code; returns the document."""

    def check(response: TestResponse, status: int, code: str) -> dict[str, Any]:
        assert (response.status_code, response.mimetype) == (status, "application/problem+json"), (
            response.text
        )
        document = dict(response.get_json(force=True))
        assert document["status"] == status
        assert document["code"] == code
        assert document["detail"]
        assert document["title"]
        assert "Traceback" not in response.text
        return document

    return check
