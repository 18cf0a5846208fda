"""Users' memories and their tags: what ``image_tag`` tags and ``intent_classify`` searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from uuid_utils import uuid7

from app.jobs.tags import normal_tags
from app.store.database import sql_now
from app.store.paging import Cursor, newest_first
from app.store.user_tables import memories, memory_tags
from app.store.words import index_content, index_tags

TAG_STATUSES = ("suggested", "confirmed", "rejected")


@dataclass(frozen=True)
class TagRow:
    """A tag of a memory; ``status`` is ``suggested``, ``confirmed`` or ``rejected``."""

    tag: str
    status: str


@dataclass(frozen=True)
class MemoryRow:
    """A memory with its tags, oldest tag first. Times are aware, in UTC."""

    id: str
    owner_user_id: int
    content: str
    media_type: str | None
    image_path: str | None
    created_at: datetime
    tags: tuple[TagRow, ...]


def add(
    connection: Connection,
    *,
    owner_user_id: int,
    content: str,
    media_type: str | None = None,
    image_path: str | None = None,
) -> MemoryRow:
    """Store a memory and index its words for the search."""
    statement = insert(memories).values(
        id=str(uuid7()),
        owner_user_id=owner_user_id,
        content=content,
        media_type=media_type,
        image_path=image_path,
        created_at=sql_now(connection),
    )
    row = connection.execute(statement.returning(memories)).mappings().one()
    index_content(connection, row["id"], owner_user_id, content)
    return _memory(row, ())


def get(connection: Connection, memory_id: str) -> MemoryRow | None:
    """The memory with its tags, or ``None``."""
    statement = select(memories).where(memories.c.id == memory_id)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _memory(row, tags(connection, memory_id))


def list_newest(
    connection: Connection,
    *,
    owner_user_id: int | None,
    limit: int,
    offset: int = 0,
    before: Cursor | None = None,
) -> list[MemoryRow]:
    """A page of memories with their tags, newest first; ``None`` for the owner means all."""
    statement = select(memories)
    if owner_user_id is not None:
        statement = statement.where(memories.c.owner_user_id == owner_user_id)
    page = newest_first(statement, memories, limit=limit, offset=offset, before=before)
    return with_tags(connection, connection.execute(page).mappings().all())


def with_tags(connection: Connection, rows: Sequence[RowMapping]) -> list[MemoryRow]:
    """The rows of ``memories`` with their tags, in the same order; one statement for all."""
    found: dict[str, list[TagRow]] = {row["id"]: [] for row in rows}
    statement = (
        select(memory_tags.c.memory_id, memory_tags.c.tag, memory_tags.c.status)
        .where(memory_tags.c.memory_id.in_(found))
        .order_by(memory_tags.c.id)
    )
    for memory_id, tag, status in connection.execute(statement) if found else ():
        found[memory_id].append(TagRow(tag, status))
    return [_memory(row, found[row["id"]]) for row in rows]


def tags(connection: Connection, memory_id: str) -> list[TagRow]:
    """The tags of a memory, oldest first; the id need not be in ``memories``."""
    statement = (
        select(memory_tags.c.tag, memory_tags.c.status)
        .where(memory_tags.c.memory_id == memory_id)
        .order_by(memory_tags.c.id)
    )
    return [TagRow(tag, status) for tag, status in connection.execute(statement)]


def put_tags(
    connection: Connection, memory_id: str, tags: Sequence[str], status: str
) -> list[TagRow]:
    """Add tags with ``status``; those that the memory has already take it over.

    Returns all tags of the memory. Tags are lower-cased and de-duplicated first.
    """
    _write_tags(connection, memory_id, tags, status, overwrite=True)
    return _tags_of(connection, memory_id)


def suggest_tags(connection: Connection, memory_id: str, tags: Sequence[str]) -> None:
    """Add tags as ``suggested``; those that the memory has already keep their status."""
    _write_tags(connection, memory_id, tags, "suggested", overwrite=False)


_tags_of = tags


def _write_tags(
    connection: Connection, memory_id: str, names: Sequence[str], status: str, *, overwrite: bool
) -> None:
    if status not in TAG_STATUSES:
        raise ValueError(f"a tag's status is one of {', '.join(TAG_STATUSES)}, not {status!r}")
    now = sql_now(connection)
    rows = [
        {"memory_id": memory_id, "tag": name, "status": status, "created_at": now}
        for name in normal_tags(names)
    ]
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(memory_tags).values(rows)
    key = ["memory_id", "tag"]
    if overwrite:
        statement = statement.on_conflict_do_update(index_elements=key, set_={"status": status})
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement)
    index_tags(connection, memory_id)


def _memory(row: RowMapping, its_tags: Sequence[TagRow]) -> MemoryRow:
    return MemoryRow(**row, tags=tuple(its_tags))
