"""Alembic's entry point: runs the migrations on the connection of ``app.store.migrate``."""

from alembic import context
from sqlalchemy import Connection

from app.store import user_tables
from app.store.schema import metadata

# The users' tables are in the same metadata once their module is imported.
assert user_tables.memories.metadata is metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite cannot alter most things in place; batch mode copies the table.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
