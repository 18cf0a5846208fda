"""The tables of the users' data: memories with their tags and words, tasks, calendar events."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
)

from app.store.database import UtcDateTime
from app.store.schema import BigId, metadata

memories = Table(
    "memories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_user_id", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Column("media_type", Text),
    Column("image_path", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_memories_owner", "owner_user_id", "created_at", "id"),
    Index("ix_memories_newest", "created_at", "id"),
)

memory_tags = Table(
    "memory_tags",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # Opaque: the memory may live in another program.
    Column("memory_id", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("memory_id", "tag", name="uq_memory_tags_memory_id_tag"),
)

# The words of each memory's content and tags: the search's index (app/store/words.py).
memory_words = Table(
    "memory_words",
    metadata,
    Column("word", Text, primary_key=True),
    Column("owner_user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("memory_id", Text, ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, primary_key=True),
    CheckConstraint("source IN ('content', 'tags')", name="source"),
    Index("ix_memory_words_memory", "memory_id", "source"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_user_id", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("state IN ('NOT_DONE', 'DONE')", name="state"),
    Index("ix_tasks_owner", "owner_user_id", "state", "created_at", "id"),
    Index("ix_tasks_newest", "created_at", "id"),
)

calendar_events = Table(
    "calendar_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_user_id", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("event_time", UtcDateTime, nullable=False),
    Column("status", Text, nullable=False),
    Column("source_type", Text),
    Column("source_detail", Text),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('pending', 'confirmed', 'rejected')", name="status"),
    Index("ix_calendar_events_owner", "owner_user_id", "created_at", "id"),
    Index("ix_calendar_events_newest", "created_at", "id"),
)
