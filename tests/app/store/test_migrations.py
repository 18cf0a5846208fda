"""What the migrations make is what ``schema.py`` says, on both databases."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, NullPool, create_engine, inspect, text

from app.store import migrate
from app.store.database import Database, open_database
from app.store.schema import metadata


@pytest.fixture
def make_empty(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], Database]]:
    """Makes a database without any table; at most one."""
    with ExitStack() as stack:

        def make(kind: str) -> Database:
            if kind == "sqlite":
                url = f"sqlite:///{tmp_path}/empty.db"
            else:
                server_url = request.getfixturevalue("postgres_server")
                _run(server_url, "CREATE DATABASE empty_one")
                stack.callback(_run, server_url, "DROP DATABASE empty_one WITH (FORCE)")
                url = server_url.replace("/postgres?", "/empty_one?")
            database = open_database(url)
            stack.callback(database.forget_connections)
            return database

        yield make


def _run(server_url: str, statement: str) -> None:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, make_empty: Callable[[str], Database]) -> Database:
    """A database without any table; the test runs on SQLite and on PostgreSQL."""
    return make_empty(request.param)


@pytest.fixture
def declared(database: Database, make_empty: Callable[[str], Database]) -> Database:
    """A database as ``schema.py`` makes it, of the same kind as ``database``."""
    made = make_empty(database.engine.dialect.name)
    with made.begin() as connection:
        metadata.create_all(connection)
    return made


# Such an index cannot be read back on SQLite; its text is compared below.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_alembic_sees_no_difference_between_the_schema_and_the_migrations(
    database: Database,
) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_the_checks_of_the_migrations_are_those_of_the_schema(
    database: Database, declared: Database
) -> None:
    migrated = _checks(database.engine)

    assert migrated == _checks(declared.engine)
    named = {
        constraint.name
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert None not in named
    assert named == set(migrated)


def _checks(engine: Engine) -> dict[str, str]:
    found = {}
    inspector = inspect(engine)
    for table in inspector.get_table_names():
        for check in inspector.get_check_constraints(table):
            found[check["name"]] = _plain(check["sqltext"])
    return found  # type: ignore[return-value]  # a name may be None: the test says that none is


def test_the_indexes_of_the_migrations_are_those_of_the_schema(
    database: Database, declared: Database
) -> None:
    migrated = _indexes(database)

    assert migrated == _indexes(declared)
    assert "coalesce" in migrated["uq_jobs_idempotency"].lower()
    for name in ("lease", "due", "dispatched", "expires"):
        assert "where" in migrated[f"ix_jobs_{name}"].lower()


def _indexes(database: Database) -> dict[str, str]:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if database.is_sqlite
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    with database.read() as connection:
        rows = connection.execute(text(query)).all()
    return {name: _plain(sql) for name, sql in rows if "alembic" not in name}


def _plain(sql: str) -> str:
    """Without spaces, quotes and the name of the table before a column: spelling, not meaning."""
    return re.sub(r'[\s"]|jobs\.|job_transitions\.', "", sql)


def test_migrating_an_empty_database_tells_what_it_did(empty: Database) -> None:
    assert migrate.current(empty) is None

    assert migrate.upgrade(empty) == (None, migrate.head())
    assert migrate.upgrade(empty) == (migrate.head(), migrate.head())
    assert migrate.current(empty) == migrate.head()


def test_two_migrations_at_once_do_no_harm(empty: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        befores = {outcome[0] for outcome in pool.map(migrate.upgrade, [empty, empty])}

    assert befores == {None, migrate.head()}
    assert migrate.current(empty) == migrate.head()


def test_the_migrations_can_be_undone(empty: Database) -> None:
    migrate.upgrade(empty)

    config = migrate._config()
    with empty.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    assert set(inspect(empty.engine).get_table_names()) <= {"alembic_version"}


def test_a_release_without_migrations_is_a_broken_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "versions").mkdir()
    monkeypatch.setattr(migrate, "_MIGRATIONS", tmp_path)

    with pytest.raises(RuntimeError, match="no migrations"):
        migrate.head()
