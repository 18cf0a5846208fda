"""Claiming a job and holding it: the start of an attempt, its lease, and giving it back.

A worker's right to a job is its token, unique per execution (``jobs.locked_by``): whatever writes
for an attempt names it, so that a worker which lost its lease can change nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, or_, select, update

from app.jobs.status import JobStatus
from app.store.database import sql_now
from app.store.schema import attempts, is_dispatched, is_waiting, jobs
from app.store.transitions import record

_CLAIM_COLUMNS = (
    jobs.c.id,
    jobs.c.job_type,
    jobs.c.payload,
    jobs.c.user_id,
    jobs.c.seq,
    jobs.c.attempts,
    jobs.c.failures,
    jobs.c.max_attempts,
    jobs.c.deferrals,
    jobs.c.deferred_since,
    jobs.c.started_at,
    jobs.c.created_at,
)


@dataclass(frozen=True)
class Claim:
    """A started attempt and what is needed to run it."""

    job_id: str
    token: str
    job_type: str
    payload: dict[str, Any]
    user_id: int | None
    seq: int
    attempt: int
    failures: int
    max_attempts: int
    deferrals: int
    deferred_since: datetime | None
    started_at: datetime
    created_at: datetime
    worker: str


def claim(
    connection: Connection,
    *,
    job_id: str,
    seq: int,
    token: str,
    worker: str,
    lease_s: float,
    enqueued_at: str | None,
) -> Claim | None:
    """Start an attempt of a queued job and return what the worker needs to run it.

    ``None`` means that this ticket is void: the job has moved on, or a newer ticket (higher
    ``seq``) exists. RQ may deliver a ticket twice; the second changes nothing. ``enqueued_at`` is
    the ticket's, as text: requeueing in an RQ tool rewrites it, and nothing else does.
    """
    queued = start(connection, job_id, token, lease_s).where(
        jobs.c.seq == seq,
        jobs.c.status == JobStatus.QUEUED.value,
        is_dispatched,
        or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > sql_now(connection)),
    )
    row: Row[Any] | None = connection.execute(queued).one_or_none()
    reason = None
    if row is None:
        row = _requeued_by_a_person(connection, job_id, seq, token, lease_s, enqueued_at, worker)
        reason = "requeued in RQ"
    if row is None:
        return None
    begin_attempt(connection, row, worker, enqueued_at, reason)
    return to_claim(row, token, worker)


def start(connection: Connection, job_id: str, token: str, lease_s: float) -> Any:
    """The UPDATE that starts an attempt; callers add what must be true for it."""
    return (
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            status=JobStatus.PROCESSING.value,
            attempts=jobs.c.attempts + 1,
            locked_by=token,
            lease_until=sql_now(connection, lease_s),
            started_at=sql_now(connection),
            updated_at=sql_now(connection),
            finished_at=None,
        )
        .returning(*_CLAIM_COLUMNS)
    )


def _requeued_by_a_person(
    connection: Connection,
    job_id: str,
    seq: int,
    token: str,
    lease_s: float,
    enqueued_at: str | None,
    worker: str,
) -> Row[Any] | None:
    """Claim a failed job, or one that waits for its retry, whose ticket a person requeued.

    An equal ``seq`` is no proof of that: the ticket of an expired job may still lie in its list,
    and Redis may bring a ticket back that was run before. The proof is a ticket of a generation
    that was attempted, with an ``enqueued_at`` that no attempt has seen.
    """
    found = connection.execute(
        select(jobs.c.status, jobs.c.attempts)
        .where(
            jobs.c.id == job_id,
            jobs.c.seq == seq,
            or_(
                jobs.c.status.in_([JobStatus.FAILED.value, JobStatus.ERROR.value]),
                (jobs.c.status == JobStatus.QUEUED.value) & is_waiting,
            ),
        )
        .with_for_update()
    ).one_or_none()
    if found is None or not _is_fresh(connection, job_id, seq, enqueued_at):
        return None
    status = JobStatus(found.status)
    if status is not JobStatus.QUEUED:
        record(
            connection,
            job_id=job_id,
            attempt=found.attempts,
            source=status,
            target=JobStatus.QUEUED,
            actor=worker,
            reason="requeued in RQ",
        )
    requeued = start(connection, job_id, token, lease_s).values(
        max_attempts=one_more_failure(),
        deferrals=0,
        deferred_since=None,
        expires_at=None,
        dispatched_at=sql_now(connection),
    )
    row: Row[Any] = connection.execute(requeued).one()
    return row


def _is_fresh(connection: Connection, job_id: str, seq: int, enqueued_at: str | None) -> bool:
    seen = set(
        connection.scalars(
            select(func.coalesce(attempts.c.enqueued_at, "")).where(
                attempts.c.job_id == job_id, attempts.c.seq == seq
            )
        )
    )
    return bool(seen) and bool(enqueued_at) and enqueued_at not in seen


def one_more_failure() -> ColumnElement[int]:
    """``max_attempts`` such that a job whose failures are used up may fail once more."""
    enough = jobs.c.max_attempts > jobs.c.failures
    return case((enough, jobs.c.max_attempts), else_=jobs.c.failures + 1)


def begin_attempt(
    connection: Connection, row: Row[Any], worker: str, enqueued_at: str | None, reason: str | None
) -> None:
    """Write the attempt and the transition of a job that ``start`` has just moved."""
    connection.execute(
        insert(attempts).values(
            job_id=row.id,
            attempt=row.attempts,
            seq=row.seq,
            worker=worker,
            enqueued_at=enqueued_at,
            started_at=sql_now(connection),
            repaired=False,
            llm_calls=0,
        )
    )
    record(
        connection,
        job_id=row.id,
        attempt=row.attempts,
        source=JobStatus.QUEUED,
        target=JobStatus.PROCESSING,
        actor=worker,
        reason=reason,
    )


def to_claim(row: Any, token: str, worker: str) -> Claim:
    """The claim of a job's row."""
    return Claim(
        job_id=row.id,
        token=token,
        job_type=row.job_type,
        payload=row.payload,
        user_id=row.user_id,
        seq=row.seq,
        attempt=row.attempts,
        failures=row.failures,
        max_attempts=row.max_attempts,
        deferrals=row.deferrals,
        deferred_since=row.deferred_since,
        started_at=row.started_at,
        created_at=row.created_at,
        worker=worker,
    )


def find_claim(connection: Connection, job_id: str, token: str, worker: str) -> Claim | None:
    """The claim that ``token`` holds, asked after a commit whose outcome is unknown."""
    held = connection.execute(
        select(*_CLAIM_COLUMNS).where(jobs.c.id == job_id, jobs.c.locked_by == token)
    ).one_or_none()
    return to_claim(held, token, worker) if held else None


def extend_lease(connection: Connection, job_id: str, token: str, lease_s: float) -> bool:
    """Hold the job for ``lease_s`` more seconds; ``False`` when the token does not hold it."""
    return _by_token(connection, job_id, token, lease_until=sql_now(connection, lease_s))


def end_lease(connection: Connection, job_id: str, token: str) -> bool:
    """Let the lease run out now, since its work-horse is dead: maintenance takes the job back."""
    return _by_token(connection, job_id, token, lease_until=sql_now(connection))


def _by_token(connection: Connection, job_id: str, token: str, **values: Any) -> bool:
    result = connection.execute(
        update(jobs)
        .where(
            jobs.c.id == job_id,
            jobs.c.status == JobStatus.PROCESSING.value,
            jobs.c.locked_by == token,
        )
        .values(**values)
    )
    return result.rowcount == 1
