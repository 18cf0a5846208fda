"""The database: engines for SQLite and PostgreSQL, transactions, and the one clock of SQL.

``lease_until``, ``available_at`` and their like are compared in the database's clock only, so that
workers on machines whose clocks differ agree. ``sql_now`` is that clock; a test moves it with
``Database.shifted``.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    Float,
    NullPool,
    create_engine,
    event,
    literal,
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from app.errors import DatabaseUnavailableError

Transaction = Connection
"""What ``Database.begin`` and ``read`` give, as the layers above the store name it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUSY_TIMEOUT_MS = 10_000
_READ_ONLY = "25006"
"""PostgreSQL's code for a write on a server that is a standby now: wait for the new primary."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware ``datetime`` in UTC: ``timestamptz`` on PostgreSQL, text on SQLite.

    Naive values are refused: they would be read in the server's time zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite keeps no offset."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time was given to the database: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def literal_processor(self, dialect: Dialect) -> Callable[[datetime], str]:
        """The text that the database itself would store, for partial indexes' conditions."""
        offset = "" if dialect.name == "sqlite" else "+00"

        def render(value: datetime) -> str:
            return f"'{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}{offset}'"

        return render

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the base class's signature
    ) -> datetime | None:
        """Give back an aware time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _SqlNow(FunctionElement[datetime]):
    """The database's clock plus seconds; stable within a statement, so that indexes serve it."""

    type = UtcDateTime()
    inherit_cache = True
    name = "sql_now"


@compiles(_SqlNow, "postgresql")
def _now_postgresql(element: _SqlNow, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(statement_timestamp() + make_interval(secs => {seconds}))"


@compiles(_SqlNow, "sqlite")
def _now_sqlite(element: _SqlNow, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    # '%f' has milliseconds; stored times have six digits and are compared as text.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


def sql_now(connection: Connection, plus_s: float = 0.0) -> _SqlNow:
    """The database's clock, ``plus_s`` seconds later, as an expression for a statement."""
    shift_s: float = connection.get_execution_options().get("clock_shift_s", 0.0)
    return _SqlNow(literal(shift_s + plus_s, Float))


def sql_time(connection: Connection) -> datetime:
    """The database's clock, read now."""
    now: datetime = connection.execute(select(sql_now(connection))).scalar_one()
    return now


class Database:
    """An engine and its transactions.

    ``begin()`` is for writing, ``read()`` for reading; both give a Core ``Connection``.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """True on the embedded database, which has one writer and one machine."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: committed at the end, rolled back on any exception.

        Raises ``DatabaseUnavailableError`` when the database cannot be reached. Whether a commit
        whose connection broke took effect is then unknown: callers that care look again.
        """
        with _outages_named(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A reading transaction; on SQLite it does not wait for the writer."""
        engine = self.engine.execution_options(sqlite_begin="DEFERRED")
        with _outages_named(), engine.begin() as connection:
            yield connection

    def shifted(self, seconds: float) -> "Database":
        """The same database with its clock moved by ``seconds``, for tests."""
        return Database(self.engine.execution_options(clock_shift_s=seconds))

    def forget_connections(self, *, close: bool = True) -> None:
        """Drop pooled connections: after a fork (``close=False``) or an interruption."""
        self.engine.dispose(close=close)


@contextmanager
def _outages_named() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if is_outage(error):
            raise DatabaseUnavailableError(
                "The database does not answer. Nothing was changed; try again."
            ) from error
        raise


def is_outage(error: BaseException) -> bool:
    """True when the error says that the database is away, not that a statement is wrong."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
        return True
    # SQLite reports a wrong statement, which no waiting mends, under the same class.
    is_wrong = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return error.connection_invalidated or (isinstance(error, OperationalError) and not is_wrong)


def open_database(
    url: str, *, connect_timeout_s: int = 10, pooled: bool = True, pool_size: int = 10
) -> Database:
    """Make the engine for ``url``; nothing is opened until the first transaction.

    ``pooled=False`` opens a connection per transaction (lease heartbeats, fresh processes).
    """
    parsed = make_url(url)
    options: dict[str, Any] = {
        "json_serializer": _to_json,
        "json_deserializer": json.loads,
        "hide_parameters": True,
    }
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        options["connect_args"] = {
            "timeout": _BUSY_TIMEOUT_MS / 1000,
            "check_same_thread": False,
        }
    else:
        options["connect_args"] = {
            "connect_timeout": connect_timeout_s,
            "application_name": "llm-jobs",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            # Keepalives do not end a wait for data that was sent and never acknowledged.
            "tcp_user_timeout": 15_000,
        }
    if pooled:
        options |= {"pool_pre_ping": True, "pool_size": pool_size, "max_overflow": 10}
        options |= {"pool_timeout": connect_timeout_s}
    else:
        options["poolclass"] = NullPool
    engine = create_engine(parsed, **options)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return Database(engine)


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, a busy time-out, and real transactions.

    With the library's defaults a transaction begins at its first write, and two that read first
    lose each other's increments; ``BEGIN IMMEDIATE`` takes the one writer's lock at once.
    """

    @event.listens_for(engine, "connect")
    def _connect(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")
