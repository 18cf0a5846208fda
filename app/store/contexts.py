"""What job types see and touch, on a real database: the protocols of ``app.jobs.context``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from app.images import load_image
from app.jobs.ask import Image
from app.jobs.context import FoundMemory, OpenTask
from app.store import calendar, memories, tasks
from app.store.database import Database, sql_time
from app.store.search import search

_MAX_TITLE_CHARS = 80


@dataclass(frozen=True)
class SqlReadContext:
    """A ``ReadContext``: each call opens and closes its own transaction, none outlives it."""

    database: Database
    user_id: int | None
    submitted_at: datetime
    image_dir: Path

    def open_tasks(self) -> Sequence[OpenTask]:
        """The user's tasks that are not done, newest first, at most 200; none without a user."""
        if self.user_id is None:
            return []
        with self.database.read() as connection:
            return tasks.open_for(connection, self.user_id)

    def load_image(self, image_path: str) -> Image:
        """The image under ``IMAGE_DIR``, made ready to send; raises ``JobRejected``."""
        return load_image(self.image_dir, image_path)


@dataclass(frozen=True)
class SqlWriteContext:
    """A ``WriteContext`` on the connection whose transaction completes the job.

    Without a user there is nothing to read: no tasks, no memories.
    """

    connection: Connection
    user_id: int | None

    @property
    def now(self) -> datetime:
        """The database's clock, in UTC."""
        return sql_time(self.connection)

    def open_tasks(self) -> Sequence[OpenTask]:
        """The user's tasks that are still not done, newest first, at most 200."""
        return [] if self.user_id is None else tasks.open_for(self.connection, self.user_id)

    def search_memories(self, query: str, limit: int = 10) -> Sequence[FoundMemory]:
        """The user's memories that hold a word of ``query``, best first."""
        if self.user_id is None:
            return []
        hits = search(self.connection, owner_user_id=self.user_id, query=query, limit=limit)
        return [FoundMemory(hit.memory.id, title_of(hit.memory.content)) for hit in hits]

    def suggest_tags(self, memory_id: str, tags: Sequence[str]) -> None:
        """Add tags with status ``suggested``; those that it has already stay as they are."""
        memories.suggest_tags(self.connection, memory_id, tags)

    def add_pending_event(
        self, description: str, event_time: datetime, source_type: str, source_detail: str
    ) -> str:
        """Store a ``pending`` event of the user and return its id; needs a user."""
        if self.user_id is None:
            raise ValueError("a calendar event needs an owner, and the job has no user_id")
        event = calendar.add(
            self.connection,
            owner_user_id=self.user_id,
            description=description,
            event_time=event_time,
            source_type=source_type,
            source_detail=source_detail,
        )
        return event.id


def title_of(content: str) -> str:
    """A memory's title: the first line of its content that is not blank, at most 80 characters."""
    first = next((line.strip() for line in content.splitlines() if line.strip()), "")
    return first if len(first) <= _MAX_TITLE_CHARS else f"{first[: _MAX_TITLE_CHARS - 1]}…"
