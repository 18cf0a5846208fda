"""Notifications that wait in the transition log, and their publication."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from app.jobs import notification
from app.store.database import sql_now
from app.store.schema import is_unpublished, job_transitions


@dataclass(frozen=True)
class Outgoing:
    """A notification that has not been published yet."""

    transition_id: int
    job_id: str
    body: notification.Notification

    @property
    def event_id(self) -> str:
        """The id by which consumers know it again; it is the transition's, so it never changes."""
        return f"{self.job_id}:{self.transition_id}"


def unpublished(connection: Connection, limit: int) -> list[Outgoing]:
    """Notifications that are not out yet, in the order of their transitions."""
    rows = connection.execute(
        select(job_transitions.c.id, job_transitions.c.job_id, job_transitions.c.notification)
        .where(is_unpublished)
        .order_by(job_transitions.c.id)
        .limit(limit)
    )
    return [Outgoing(*row) for row in rows]


def mark_published(connection: Connection, transition_ids: Sequence[int]) -> None:
    """Say that these notifications are in the stream."""
    connection.execute(
        update(job_transitions)
        .where(job_transitions.c.id.in_(transition_ids), is_unpublished)
        .values(published_at=sql_now(connection))
    )


def unpublish(connection: Connection, since_s: float) -> None:
    """Redis was wiped: what was published in the last ``since_s`` seconds goes out again."""
    connection.execute(
        update(job_transitions)
        .where(
            job_transitions.c.notification.is_not(None),
            job_transitions.c.published_at > sql_now(connection, -since_s),
        )
        .values(published_at=None)
    )
