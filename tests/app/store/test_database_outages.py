"""What counts as a database that is away, and what does not."""

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from app.errors import DatabaseUnavailableError
from app.store.database import (
    EPOCH,
    Database,
    is_outage,
    open_database,
)
from app.store.user_tables import tasks

UNREACHABLE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"


def test_a_busy_database_is_an_outage_and_not_a_crash(
    sqlite_database: Database, sqlite_url: str
) -> None:
    impatient = open_database(sqlite_url)

    @event.listens_for(impatient.engine, "connect")
    def _(dbapi_connection: object, _record: object) -> None:
        dbapi_connection.execute("PRAGMA busy_timeout = 50")  # type: ignore[attr-defined]  # sqlite3's

    with (
        sqlite_database.begin(),
        pytest.raises(DatabaseUnavailableError, match="try again"),
        impatient.begin(),
    ):
        pass
    impatient.forget_connections()


def test_an_unreachable_database_is_named_without_its_password() -> None:
    database = open_database(UNREACHABLE, connect_timeout_s=1)

    with pytest.raises(DatabaseUnavailableError) as caught, database.begin():
        pass
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(database.engine)
    with pytest.raises(DatabaseUnavailableError), database.read():
        pass


def test_a_connection_that_broke_in_mid_transaction_is_an_outage(postgres_url: str) -> None:
    database = open_database(postgres_url)
    killer = open_database(postgres_url, pooled=False)

    def work() -> None:
        with database.begin() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            with killer.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            connection.scalar(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailableError):
        work()
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.forget_connections()


def test_a_pooled_connection_that_died_is_replaced_unnoticed(postgres_url: str) -> None:
    database = open_database(postgres_url)
    killer = open_database(postgres_url, pooled=False)
    with database.read() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    with killer.begin() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.forget_connections()


def test_a_pool_with_no_connection_left_is_an_outage(postgres_url: str) -> None:
    database = open_database(postgres_url, connect_timeout_s=1, pool_size=1)
    held = [database.engine.connect() for _ in range(11)]

    with pytest.raises(DatabaseUnavailableError), database.read():
        pass
    for connection in held:
        connection.close()
    database.forget_connections()


@pytest.mark.parametrize("statement", ["SELECT * FROM missing", "SELECT gone FROM jobs", "SELEKT"])
def test_a_wrong_statement_is_no_outage(database: Database, statement: str) -> None:
    with (
        pytest.raises((OperationalError, ProgrammingError)) as caught,
        database.read() as connection,
    ):
        connection.execute(text(statement))
    assert not is_outage(caught.value)


def test_a_broken_rule_of_the_schema_is_no_outage(database: Database) -> None:
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text("INSERT INTO relay_state (id) VALUES (1)"))
    assert not is_outage(ValueError("something else"))


def test_errors_do_not_tell_what_was_written(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught, database.begin() as connection:
        connection.execute(
            insert(tasks).values(
                id="t", owner_user_id=1, description="private words", state="x", created_at=EPOCH
            )
        )
    lines = str(caught.value).splitlines()
    statement = [line for line in lines if "SQL" in line]
    assert not any("private words" in line for line in statement)
