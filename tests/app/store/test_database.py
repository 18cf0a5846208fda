import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event, insert, literal, select, text
from sqlalchemy.exc import StatementError

from app.store.database import (
    EPOCH,
    Database,
    UtcDateTime,
    open_database,
    sql_now,
    sql_time,
)
from app.store.user_tables import tasks

UNREACHABLE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
COUNTER = "UPDATE relay_state SET mark = :mark"


def _count_up(database: Database) -> None:
    """Read, then write: what loses increments where transactions begin too late."""
    with database.begin() as connection:
        lock = "" if database.is_sqlite else " FOR UPDATE"
        mark = connection.scalar(text(f"SELECT mark FROM relay_state{lock}"))
        connection.execute(text(COUNTER), {"mark": mark + 1})


def test_two_hundred_and_forty_increments_at_once_are_all_counted(database: Database) -> None:
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: _count_up(database), range(240)))

    with database.read() as connection:
        assert connection.scalar(text("SELECT mark FROM relay_state")) == 240


def test_an_exception_rolls_everything_back(database: Database) -> None:
    def write_and_die() -> None:
        with database.begin() as connection:
            connection.execute(text(COUNTER), {"mark": 5})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_die()
    with database.read() as connection:
        assert connection.scalar(text("SELECT mark FROM relay_state")) == 0


def test_a_reader_does_not_wait_for_the_writer(sqlite_database: Database) -> None:
    with sqlite_database.begin() as writer:
        writer.execute(text(COUNTER), {"mark": 5})
        with sqlite_database.read() as reader:
            assert reader.scalar(text("SELECT mark FROM relay_state")) == 0


def test_a_second_writer_waits_for_the_first(sqlite_database: Database) -> None:
    order: list[str] = []

    def write() -> None:
        with sqlite_database.begin():
            order.append("second")

    thread = threading.Thread(target=write)
    with sqlite_database.begin():
        thread.start()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join(timeout=10)

    assert order == ["first", "second"]


def test_sqlite_is_set_up_to_keep_what_it_has_committed(sqlite_database: Database) -> None:
    with sqlite_database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }


def test_the_databases_clock_is_ours_within_seconds(database: Database) -> None:
    with database.read() as connection:
        now = sql_time(connection)

    assert abs((datetime.now(UTC) - now).total_seconds()) < 5
    assert now.utcoffset() == timedelta(0)


@pytest.mark.parametrize("seconds", [-86_400.0, -0.5, 0.001, 0.25, 90.0, 1e7])
def test_a_shifted_database_has_another_clock(database: Database, seconds: float) -> None:
    with database.read() as connection:
        before = sql_time(connection)
    with database.shifted(seconds).read() as connection:
        shifted = sql_time(connection)

    assert 0 <= (shifted - before).total_seconds() - seconds < 5


@pytest.mark.parametrize("seconds", [-30.0, 0.0, 1e-5, 0.5, 30.0, 86_400.0])
def test_a_moment_from_now_is_compared_in_sql(database: Database, seconds: float) -> None:
    with database.shifted(50).read() as connection:
        moment, now = connection.execute(
            select(sql_now(connection, seconds), sql_now(connection))
        ).one()

    assert (moment - now).total_seconds() == pytest.approx(seconds, abs=0.005)


def test_shifting_keeps_sqlites_transactions(sqlite_database: Database) -> None:
    sent: list[str] = []
    event.listen(
        sqlite_database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: sent.append(statement),
    )
    late = sqlite_database.shifted(5)
    with late.begin() as connection:
        sql_time(connection)
    with late.read() as connection:
        sql_time(connection)

    assert [statement for statement in sent if statement.startswith("BEGIN")] == [
        "BEGIN IMMEDIATE",
        "BEGIN DEFERRED",
    ]


def test_a_naive_time_is_refused(database: Database) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - what is tested
    with pytest.raises(StatementError, match="naive time"), database.read() as connection:
        connection.execute(select(literal(naive, UtcDateTime())))


def test_times_of_any_zone_come_back_in_utc(database: Database) -> None:
    there = datetime(2026, 1, 1, 12, 0, 0, 123_456, timezone(timedelta(hours=5, minutes=30)))
    with database.begin() as connection:
        connection.execute(
            insert(tasks).values(
                id="t", owner_user_id=1, description="d", state="DONE", created_at=there
            )
        )
        back, missing = connection.execute(select(tasks.c.created_at, tasks.c.due_at)).one()

    assert back == there
    assert (back.utcoffset(), missing) == (timedelta(0), None)


def test_the_epoch_compares_as_the_beginning_of_time(database: Database) -> None:
    with database.read() as connection:
        assert connection.scalar(select(literal(EPOCH, UtcDateTime()) < sql_now(connection)))


def test_json_without_nan_only_and_as_it_was(database: Database) -> None:
    assert json.loads(database.engine.dialect._json_serializer({"ä": [1]})) == {"ä": [1]}  # type: ignore[attr-defined]  # a dialect's own
    with pytest.raises(ValueError, match="JSON compliant"):
        database.engine.dialect._json_serializer(float("nan"))  # type: ignore[attr-defined]  # private


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/new/folder/jobs.db")
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.forget_connections()

    assert (tmp_path / "new" / "folder" / "jobs.db").exists()


def test_opening_opens_nothing() -> None:
    assert open_database(UNREACHABLE).engine.pool.status()


def test_a_child_that_forgets_its_parents_connections_leaves_them_usable(
    postgres_url: str,
) -> None:
    database = open_database(postgres_url)
    with database.read() as connection:
        pid_before = connection.scalar(text("SELECT pg_backend_pid()"))
    child = os.fork()
    if child == 0:
        try:
            database.forget_connections(close=False)
            with database.read() as connection:
                fresh = connection.scalar(text("SELECT pg_backend_pid()")) != pid_before
            os._exit(0 if fresh else 1)
        except BaseException:  # noqa: BLE001 - a forked child must not run the parent's tests
            os.kill(os.getpid(), signal.SIGKILL)
    _pid, status = os.waitpid(child, 0)

    assert status == 0
    with database.read() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) == pid_before
    database.forget_connections()
