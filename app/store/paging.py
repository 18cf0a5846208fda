"""Lists, newest first: by offset, or after a cursor that stays right while rows are added."""

from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, Select, Text, literal, tuple_

from app.store.database import UtcDateTime

Cursor = tuple[datetime, str]
"""``(created_at, id)`` of the last row that the client has seen."""


def newest_first(
    statement: Select[Any], table: FromClause, *, limit: int, offset: int, before: Cursor | None
) -> Select[Any]:
    """Order ``statement`` by ``created_at`` and ``id``, both falling, and cut out one page."""
    key = tuple_(table.c.created_at, table.c.id)
    if before is not None:
        seen = tuple_(literal(before[0], UtcDateTime()), literal(before[1], Text()))
        statement = statement.where(key < seen)
    newest = statement.order_by(table.c.created_at.desc(), table.c.id.desc())
    return newest.limit(limit).offset(offset)
