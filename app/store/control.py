"""What a client may do to a job: cancel it, open it again, work on it from outside (PATCH)."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from app.errors import NotFoundError
from app.jobs.status import JobStatus
from app.store.claims import Claim, begin_attempt, one_more_failure, start, to_claim
from app.store.database import EPOCH, sql_now
from app.store.schema import attempts, jobs
from app.store.transitions import record
from queues.ticket import Ticket

EXTERNAL = "patch:"
"""The prefix of the token of a job that a PATCH claimed, for workers outside this project."""


def locked(connection: Connection, job_id: str) -> Row[Any]:
    """The job's row, held until the end of the transaction; raises ``NotFoundError``."""
    row: Row[Any] | None = connection.execute(
        select(jobs).where(jobs.c.id == job_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return row


def ticket_of(row: Row[Any]) -> Ticket:
    """The ticket of a job's present generation."""
    return Ticket(row.id, row.seq, row.job_type, row.queue)


def cancel(connection: Connection, row: Row[Any], actor: str) -> None:
    """Cancel a ``queued`` or ``processing`` job; a running attempt is fenced off from now on.

    ``row`` is from ``locked``, in the same transaction.
    """
    source = JobStatus(row.status)
    _change(
        connection,
        row.id,
        status=JobStatus.CANCELLED.value,
        finished_at=sql_now(connection),
        locked_by=None,
        lease_until=None,
    )
    record(
        connection,
        job_id=row.id,
        attempt=row.attempts,
        source=source,
        target=JobStatus.CANCELLED,
        actor=actor,
        reason="cancelled",
    )
    if source is JobStatus.PROCESSING:
        connection.execute(
            update(attempts)
            .where(attempts.c.job_id == row.id, attempts.c.attempt == row.attempts)
            .values(finished_at=sql_now(connection), outcome="cancelled")
        )


def reopen(connection: Connection, row: Row[Any], actor: str, *, dispatched: bool) -> Ticket:
    """Queue a ``failed`` or ``error`` job, or one that waits for its retry, to run now.

    It may fail once more at least. ``dispatched`` says that the caller will push the ticket that
    this returns. ``row`` is from ``locked``, in the same transaction.
    """
    source = JobStatus(row.status)
    now = sql_now(connection)
    _change(
        connection,
        row.id,
        status=JobStatus.QUEUED.value,
        seq=jobs.c.seq + 1,
        max_attempts=one_more_failure(),
        deferrals=0,
        deferred_since=None,
        available_at=now,
        dispatched_at=now if dispatched else EPOCH,
        expires_at=None,
        finished_at=None,
    )
    if source is not JobStatus.QUEUED:
        record(
            connection,
            job_id=row.id,
            attempt=row.attempts,
            source=source,
            target=JobStatus.QUEUED,
            actor=actor,
            reason="retried",
        )
    return Ticket(row.id, row.seq + 1, row.job_type, row.queue)


def claim_externally(
    connection: Connection, row: Row[Any], token: str, actor: str, lease_s: float
) -> Claim:
    """Give a queued job to a worker outside this project; its ticket in RQ becomes void."""
    begin = start(connection, row.id, token, lease_s).values(seq=jobs.c.seq + 1)
    begun = connection.execute(begin).one()
    begin_attempt(connection, begun, actor, None, "claimed by PATCH")
    return to_claim(begun, token, actor)


def external_claim(row: Row[Any], actor: str) -> Claim | None:
    """The claim that a PATCH holds on this job; ``None`` when it is not a PATCH that holds it."""
    if row.locked_by is None or not row.locked_by.startswith(EXTERNAL):
        return None
    return to_claim(row, row.locked_by, actor)


def _change(connection: Connection, job_id: str, **values: Any) -> None:
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(updated_at=sql_now(connection), **values)
    )
