"""The transition log: history, audit and notification outbox at once. It is only appended to."""

from sqlalchemy import Connection, insert, select

from app.jobs.notification import Notification
from app.jobs.status import JobStatus
from app.store.database import sql_now
from app.store.schema import job_transitions


def record(
    connection: Connection,
    *,
    job_id: str,
    attempt: int,
    source: JobStatus | None,
    target: JobStatus,
    actor: str,
    reason: str | None = None,
    notification: Notification | None = None,
) -> None:
    """Append one transition, in the transaction that changes the job."""
    connection.execute(
        insert(job_transitions).values(
            job_id=job_id,
            attempt=attempt,
            from_status=source,
            to_status=target,
            at=sql_now(connection),
            actor=actor,
            reason=reason,
            notification=notification,
        )
    )


def has_left_processing(connection: Connection, job_id: str, attempt: int) -> bool:
    """True when this attempt has ended in some way, whoever ended it.

    Asked after a commit whose outcome is unknown: the job itself may have moved on since.
    """
    found = connection.scalar(
        select(job_transitions.c.id).where(
            job_transitions.c.job_id == job_id,
            job_transitions.c.attempt == attempt,
            job_transitions.c.from_status == JobStatus.PROCESSING.value,
        )
    )
    return found is not None
