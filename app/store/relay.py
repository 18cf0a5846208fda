"""Maintenance's statements about jobs: what is due, lost, expired, void.

Each is conditional and, on PostgreSQL, skips rows that another copy has locked, so that two copies
of maintenance do no harm. Each takes a slice, so that none holds locks for long.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    select,
    tuple_,
    update,
)

from app.jobs import notification
from app.jobs.status import JobStatus
from app.store import outcomes
from app.store.claims import to_claim
from app.store.database import sql_now
from app.store.schema import (
    is_dispatched,
    is_processing,
    is_queued,
    is_waiting,
    jobs,
)
from app.store.transitions import record
from queues.ticket import Ticket, parse_rq_id

ACTOR = "maintenance"


# -- leases -----------------------------------------------------------------------------------


def expired_leases(connection: Connection, limit: int) -> list[Row[Any]]:
    """Jobs whose worker has not extended its lease in time, locked; oldest first."""
    query = (
        select(jobs)
        .where(is_processing, jobs.c.lease_until <= sql_now(connection))
        .order_by(jobs.c.lease_until)
    )
    return list(connection.execute(_slice(query, limit)))


def take_back(
    connection: Connection, row: Row[Any], problem: outcomes.Problem, wait_s: float
) -> None:
    """Count an expired lease as a failure: queue the job again, or end it as ``error``.

    A job that kills its workers is thereby ended instead of killing them for ever.
    """
    claim = to_claim(row, row.locked_by, ACTOR)
    report = outcomes.Report()
    if row.failures + 1 < row.max_attempts:
        outcomes.retry_later(connection, claim, problem, report, wait_s)
    else:
        outcomes.fail(connection, claim, JobStatus.ERROR, problem, report, counted=True)


# -- dispatch ---------------------------------------------------------------------------------


def take_due(connection: Connection, limit: int) -> list[Ticket]:
    """New tickets for waiting jobs whose time has come; the caller pushes them after the commit."""
    query = (
        select(jobs.c.id)
        .where(is_queued, is_waiting, jobs.c.available_at <= sql_now(connection))
        .order_by(jobs.c.available_at)
    )
    return _redispatch(connection, query, limit)


def take_lost(
    connection: Connection, list_name: str, watermark: datetime, margin_s: float, limit: int
) -> list[Ticket]:
    """New tickets for jobs whose ticket can be nowhere: dispatched before the list's watermark."""
    query = (
        select(jobs.c.id)
        .where(
            is_queued,
            is_dispatched,
            jobs.c.queue == list_name,
            jobs.c.dispatched_at < watermark - timedelta(seconds=margin_s),
        )
        .order_by(jobs.c.dispatched_at)
    )
    return _redispatch(connection, query, limit)


def take_wiped(connection: Connection, before: datetime, limit: int) -> list[Ticket]:
    """New tickets for jobs that were dispatched before a wipe of Redis was seen."""
    query = select(jobs.c.id).where(is_queued, is_dispatched, jobs.c.dispatched_at <= before)
    return _redispatch(connection, query, limit)


def _redispatch(connection: Connection, query: Select[Any], limit: int) -> list[Ticket]:
    """Raise the generation of these jobs; their older tickets are void from the commit on."""
    job_ids = list(connection.scalars(_slice(query, limit)))
    if not job_ids:
        return []
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids), is_queued)
        .values(seq=jobs.c.seq + 1, dispatched_at=sql_now(connection))
        .returning(jobs.c.id, jobs.c.seq, jobs.c.job_type, jobs.c.queue)
    )
    tickets = {row[0]: Ticket(*row) for row in changed}
    return [tickets[job_id] for job_id in job_ids if job_id in tickets]


def watermark(connection: Connection, head: Sequence[str]) -> datetime | None:
    """When the first valid ticket at a list's head was dispatched; ``None`` when none is valid.

    An empty list's watermark is now: everything dispatched to it has been taken or is lost.
    """
    if not head:
        return connection.scalar(select(sql_now(connection)))
    keys = [parsed for rq_id in head if (parsed := parse_rq_id(rq_id))]
    if not keys:
        return None
    found = connection.execute(
        select(jobs.c.id, jobs.c.seq, jobs.c.dispatched_at).where(
            tuple_(jobs.c.id, jobs.c.seq).in_(keys), is_queued, is_dispatched
        )
    )
    dispatched = {(row[0], row[1]): row[2] for row in found}
    return next((dispatched[key] for key in keys if key in dispatched), None)


def lists_with_tickets(connection: Connection, list_names: Sequence[str]) -> list[str]:
    """Those of the lists that have queued, dispatched jobs in SQL."""
    return [
        name
        for name in list_names
        if connection.scalar(
            select(jobs.c.id)
            .where(is_queued, is_dispatched, jobs.c.queue == name)
            .order_by(jobs.c.dispatched_at)
            .limit(1)
        )
    ]


def overdue(connection: Connection, limit: int) -> list[Row[Any]]:
    """Queued jobs that have waited longer than ``QUEUE_JOB_TTL``, locked; oldest first."""
    query = (
        select(jobs)
        .where(is_queued, jobs.c.expires_at <= sql_now(connection))
        .order_by(jobs.c.expires_at)
    )
    return list(connection.execute(_slice(query, limit)))


def expire(connection: Connection, row: Row[Any]) -> None:
    """End such a job as ``error``, with its notification."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            status=JobStatus.ERROR.value,
            error_code="expired",
            error_message="The job waited longer than QUEUE_JOB_TTL and was not run.",
            finished_at=sql_now(connection),
            updated_at=sql_now(connection),
        )
    )
    told = notification.of_failure(row.job_type, row.user_id, row.payload, "expired")
    record(
        connection,
        job_id=row.id,
        attempt=row.attempts,
        source=JobStatus.QUEUED,
        target=JobStatus.ERROR,
        actor=ACTOR,
        reason="expired",
        notification=told,
    )


# -- sweeping RQ ------------------------------------------------------------------------------


def void_tickets(
    connection: Connection, list_name: str, rq_ids: Collection[str], for_s: float
) -> list[Ticket]:
    """Those of the tickets that SQL has had no use for, for ``for_s`` seconds.

    Of use is the ticket of a job's present generation while the job is queued or processing, and
    while it is ``failed`` or ``error``: a person may requeue it.
    """
    keys = {rq_id: parsed for rq_id in rq_ids if (parsed := parse_rq_id(rq_id))}
    if not keys:
        return []
    dead = jobs.c.status.in_([JobStatus.COMPLETED.value, JobStatus.CANCELLED.value])
    recent = jobs.c.updated_at > sql_now(connection, -for_s)
    found = connection.execute(
        select(jobs.c.id, jobs.c.seq, jobs.c.job_type, and_(~dead, jobs.c.seq > 0), recent).where(
            jobs.c.id.in_({job_id for job_id, _seq in keys.values()})
        )
    )
    by_id = {row[0]: row for row in found}
    return [
        Ticket(job_id, seq, by_id[job_id][2] if job_id in by_id else "", list_name)
        for job_id, seq in keys.values()
        if _is_void(by_id.get(job_id), seq)
    ]


def _is_void(row: Any, seq: int) -> bool:
    if row is None:
        return True
    _job_id, present_seq, _job_type, is_open, is_recent = row
    return not is_recent and not (is_open and seq == present_seq)


def _slice(query: Select[Any], limit: int) -> Select[Any]:
    return query.limit(limit).with_for_update(skip_locked=True)
