"""What a job type may see and touch: protocols that the store and the image room implement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.jobs.ask import Image


@dataclass(frozen=True)
class OpenTask:
    """A task that a user has not done yet."""

    id: str
    description: str


@dataclass(frozen=True)
class FoundMemory:
    """A hit of a full-text search over a user's memories."""

    memory_id: str
    title: str


class ReadContext(Protocol):
    """Read-only data for ``JobType.ask``; no transaction stays open behind it."""

    @property
    def user_id(self) -> int | None:
        """The job's user, or ``None``."""
        ...

    @property
    def submitted_at(self) -> datetime:
        """When the job was accepted, in UTC."""
        ...

    def open_tasks(self) -> Sequence[OpenTask]:
        """The user's tasks that are not done, newest first, at most 200."""
        ...

    def load_image(self, image_path: str) -> Image:
        """The image under ``IMAGE_DIR``, made ready to send.

        Raises ``JobRejected`` when it is missing, outside, of another type, or too large.
        """
        ...


class WriteContext(Protocol):
    """What ``JobType.apply`` may read and write, inside the transaction that completes the job."""

    @property
    def user_id(self) -> int | None:
        """The job's user, or ``None``."""
        ...

    @property
    def now(self) -> datetime:
        """The database's clock, in UTC."""
        ...

    def open_tasks(self) -> Sequence[OpenTask]:
        """As in ``ReadContext``: a task done in the meantime is no longer among them."""
        ...

    def search_memories(self, query: str, limit: int = 10) -> Sequence[FoundMemory]:
        """Full-text search over the user's memories, best first."""
        ...

    def suggest_tags(self, memory_id: str, tags: Sequence[str]) -> None:
        """Add tags with status ``suggested``; those that it has already stay as they are."""
        ...

    def add_pending_event(
        self, description: str, event_time: datetime, source_type: str, source_detail: str
    ) -> str:
        """Store a ``pending`` calendar event of the user; returns its id."""
        ...
