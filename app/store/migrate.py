"""Brings a database's schema up to date with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.store.database import Database

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_LOCK_KEY = 0x11_4D_0B_5


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def upgrade(database: Database) -> tuple[str | None, str]:
    """Run the migrations that are missing; returns the revisions before and after.

    Two at once do no harm: SQLite has one writer, PostgreSQL takes an advisory lock.
    """
    config = _config()
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, head()


def head() -> str:
    """The newest revision that this release knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("the release has no migrations")
    return newest


def current(database: Database) -> str | None:
    """The revision of the database's schema; ``None`` for an empty database."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()
