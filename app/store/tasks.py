"""Users' tasks: what ``task_match`` compares a memory with."""

from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select
from sqlalchemy import update as sql_update
from uuid_utils import uuid7

from app.jobs.context import OpenTask
from app.store.database import sql_now
from app.store.paging import Cursor, newest_first
from app.store.user_tables import tasks

OPEN = "NOT_DONE"


@dataclass(frozen=True)
class TaskRow:
    """A task; ``state`` is ``NOT_DONE`` or ``DONE``. Times are aware, in UTC."""

    id: str
    owner_user_id: int
    description: str
    state: str
    due_at: datetime | None
    created_at: datetime


def add(
    connection: Connection,
    *,
    owner_user_id: int,
    description: str,
    due_at: datetime | None = None,
) -> TaskRow:
    """Store a task that is not done."""
    statement = insert(tasks).values(
        id=str(uuid7()),
        owner_user_id=owner_user_id,
        description=description,
        state=OPEN,
        due_at=due_at,
        created_at=sql_now(connection),
    )
    return _task(connection.execute(statement.returning(tasks)).mappings().one())


def get(connection: Connection, task_id: str) -> TaskRow | None:
    """The task, or ``None``."""
    row = connection.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one_or_none()
    return None if row is None else _task(row)


def list_newest(
    connection: Connection,
    *,
    owner_user_id: int | None,
    state: str | None,
    limit: int,
    offset: int = 0,
    before: Cursor | None = None,
) -> list[TaskRow]:
    """A page of tasks, newest first; ``None`` for an owner or state means all of them."""
    statement = select(tasks)
    if owner_user_id is not None:
        statement = statement.where(tasks.c.owner_user_id == owner_user_id)
    if state is not None:
        statement = statement.where(tasks.c.state == state)
    page = newest_first(statement, tasks, limit=limit, offset=offset, before=before)
    return [_task(row) for row in connection.execute(page).mappings()]


def update(
    connection: Connection,
    task_id: str,
    *,
    state: str | None = None,
    description: str | None = None,
    due_at: datetime | EllipsisType | None = ...,
) -> TaskRow | None:
    """Change what is given and return the task, or ``None`` when there is no such task.

    ``None`` leaves the state or description alone; for ``due_at``, which may be empty, ``None``
    clears it and ``...`` leaves it alone.
    """
    changes: dict[str, Any] = {}
    if state is not None:
        changes["state"] = state
    if description is not None:
        changes["description"] = description
    if due_at is not ...:
        changes["due_at"] = due_at
    if not changes:
        return get(connection, task_id)
    statement = sql_update(tasks).where(tasks.c.id == task_id).values(changes).returning(tasks)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _task(row)


def open_for(connection: Connection, user_id: int, limit: int = 200) -> list[OpenTask]:
    """The user's tasks that are not done, newest first."""
    rows = list_newest(connection, owner_user_id=user_id, state=OPEN, limit=limit)
    return [OpenTask(row.id, row.description) for row in rows]


def _task(row: RowMapping) -> TaskRow:
    return TaskRow(**row)
