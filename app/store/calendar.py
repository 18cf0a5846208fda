"""Users' calendar events: ``email_extract`` proposes ``pending`` ones, people confirm them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select
from sqlalchemy import update as sql_update
from uuid_utils import uuid7

from app.store.database import sql_now
from app.store.paging import Cursor, newest_first
from app.store.user_tables import calendar_events


@dataclass(frozen=True)
class EventRow:
    """An event; ``status`` is ``pending``, ``confirmed`` or ``rejected``. Times are in UTC."""

    id: str
    owner_user_id: int
    description: str
    event_time: datetime
    status: str
    source_type: str | None
    source_detail: str | None
    created_at: datetime


def add(
    connection: Connection,
    *,
    owner_user_id: int,
    description: str,
    event_time: datetime,
    status: str = "pending",
    source_type: str | None = None,
    source_detail: str | None = None,
) -> EventRow:
    """Store an event. ``event_time`` has an offset; the database keeps the instant, in UTC."""
    statement = insert(calendar_events).values(
        id=str(uuid7()),
        owner_user_id=owner_user_id,
        description=description,
        event_time=event_time,
        status=status,
        source_type=source_type,
        source_detail=source_detail,
        created_at=sql_now(connection),
    )
    return _event(connection.execute(statement.returning(calendar_events)).mappings().one())


def get(connection: Connection, event_id: str) -> EventRow | None:
    """The event, or ``None``."""
    statement = select(calendar_events).where(calendar_events.c.id == event_id)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _event(row)


def list_newest(
    connection: Connection,
    *,
    owner_user_id: int | None,
    status: str | None,
    limit: int,
    offset: int = 0,
    before: Cursor | None = None,
) -> list[EventRow]:
    """A page of events, newest first by when they were stored, not by when they take place."""
    statement = select(calendar_events)
    if owner_user_id is not None:
        statement = statement.where(calendar_events.c.owner_user_id == owner_user_id)
    if status is not None:
        statement = statement.where(calendar_events.c.status == status)
    page = newest_first(statement, calendar_events, limit=limit, offset=offset, before=before)
    return [_event(row) for row in connection.execute(page).mappings()]


def update(
    connection: Connection,
    event_id: str,
    *,
    status: str | None = None,
    description: str | None = None,
    event_time: datetime | None = None,
) -> EventRow | None:
    """Change what is not ``None`` and return the event, or ``None`` when there is no such event."""
    given = {"status": status, "description": description, "event_time": event_time}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return get(connection, event_id)
    statement = sql_update(calendar_events).where(calendar_events.c.id == event_id).values(changes)
    row = connection.execute(statement.returning(calendar_events)).mappings().one_or_none()
    return None if row is None else _event(row)


def _event(row: RowMapping) -> EventRow:
    return EventRow(**row)
