"""Reading jobs: one, a list, a history, counts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, tuple_

from app.jobs.status import JobStatus
from app.store.database import EPOCH, sql_now
from app.store.rows import AttemptRow, JobRow, TransitionRow, Usage
from app.store.schema import (
    attempts,
    is_queued,
    is_waiting,
    job_transitions,
    jobs,
    relay_state,
)


@dataclass(frozen=True)
class Count:
    """How many jobs of a queue and type are in a state; for queued ones, since when."""

    queue: str
    job_type: str
    status: JobStatus
    jobs: int
    oldest_available_at: datetime | None


@dataclass(frozen=True)
class WaitingCount:
    """Jobs of one RQ list that ended ``failed`` or ``error``, and those that wait for a time."""

    failed: int
    scheduled: int


def get(connection: Connection, job_id: str) -> JobRow | None:
    """The job, or ``None``."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return to_job(row) if row else None


def to_job(row: Row[Any]) -> JobRow:
    """A job's row as its client sees it."""
    status = JobStatus(row.status)
    waits = status is JobStatus.QUEUED and row.dispatched_at == EPOCH
    later = row.attempts > 0 or row.available_at > row.created_at
    return JobRow(
        id=row.id,
        job_type=row.job_type,
        queue=row.queue,
        status=status,
        priority=row.priority,
        payload=row.payload,
        result=row.result,
        metadata=row.metadata,
        user_id=row.user_id,
        seq=row.seq,
        attempts=row.attempts,
        failures=row.failures,
        max_attempts=row.max_attempts,
        error_code=row.error_code,
        error_message=row.error_message,
        model=row.model,
        usage=_usage(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        next_attempt_at=row.available_at if waits and later else None,
    )


def _usage(row: Row[Any]) -> Usage:
    return Usage(row.prompt_tokens, row.completion_tokens, row.total_tokens)


def list_newest(
    connection: Connection,
    *,
    status: str | None = None,
    job_type: str | None = None,
    user_id: int | None = None,
    limit: int = 50,
    offset: int = 0,
    before: tuple[datetime, str] | None = None,
) -> list[JobRow]:
    """Jobs, newest first; ``before`` is the last one of the page before: (created_at, id)."""
    query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    query = _filtered(query, status=status, job_type=job_type, user_id=user_id)
    if before is not None:
        query = query.where(tuple_(jobs.c.created_at, jobs.c.id) < before)
    return [to_job(row) for row in connection.execute(query.limit(limit).offset(offset))]


def _filtered(query: Select[Any], **filters: Any) -> Select[Any]:
    for name, value in filters.items():
        if value is not None:
            query = query.where(jobs.c[name] == value)
    return query


def history(connection: Connection, job_id: str) -> tuple[list[TransitionRow], list[AttemptRow]]:
    """The job's transitions and attempts, oldest first."""
    transition_rows = connection.execute(
        select(job_transitions)
        .where(job_transitions.c.job_id == job_id)
        .order_by(job_transitions.c.id)
    )
    attempt_rows = connection.execute(
        select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.attempt)
    )
    return [_to_transition(row) for row in transition_rows], [
        _to_attempt(row) for row in attempt_rows
    ]


def _to_transition(row: Row[Any]) -> TransitionRow:
    return TransitionRow(row.from_status, row.to_status, row.at, row.attempt, row.actor, row.reason)


def _to_attempt(row: Row[Any]) -> AttemptRow:
    return AttemptRow(
        attempt=row.attempt,
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        error_code=row.error_code,
        model=row.model,
        usage=_usage(row),
    )


def counts(connection: Connection) -> list[Count]:
    """Jobs per RQ list, type and state; the oldest age is of what may run now."""
    oldest = func.min(jobs.c.available_at).filter(is_queued)
    rows = connection.execute(
        select(jobs.c.queue, jobs.c.job_type, jobs.c.status, func.count().label("jobs"), oldest)
        .group_by(jobs.c.queue, jobs.c.job_type, jobs.c.status)
        .order_by(jobs.c.queue, jobs.c.job_type, jobs.c.status)
    )
    return [Count(row[0], row[1], JobStatus(row[2]), row[3], row[4]) for row in rows]


def waiting_counts(connection: Connection) -> dict[str, WaitingCount]:
    """Per RQ list: jobs in ``failed`` or ``error``, and queued ones that wait for their time."""
    failed = connection.execute(
        select(jobs.c.queue, func.count())
        .where(jobs.c.status.in_([JobStatus.FAILED.value, JobStatus.ERROR.value]))
        .group_by(jobs.c.queue)
    )
    scheduled = connection.execute(
        select(jobs.c.queue, func.count()).where(is_queued, is_waiting).group_by(jobs.c.queue)
    )
    failed_by_queue = {row[0]: row[1] for row in failed}
    scheduled_by_queue = {row[0]: row[1] for row in scheduled}
    return {
        queue: WaitingCount(failed_by_queue.get(queue, 0), scheduled_by_queue.get(queue, 0))
        for queue in sorted(failed_by_queue | scheduled_by_queue)
    }


def last_tick_age_s(connection: Connection) -> float | None:
    """Seconds since maintenance last finished a tick; ``None`` when it never ran."""
    row = connection.execute(select(relay_state.c.last_tick_at, sql_now(connection))).one_or_none()
    if row is None or row[0] == EPOCH:
        return None
    return float((row[1] - row[0]).total_seconds())
