"""Accepting jobs: rows with their first transition, and idempotency by key or by id."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from app.jobs.status import JobStatus
from app.store.database import EPOCH, sql_time
from app.store.schema import is_queued, job_transitions, jobs
from queues.ticket import Ticket


@dataclass(frozen=True)
class NewJob:
    """A checked submission, ready to be stored."""

    id: str
    job_type: str
    queue: str
    priority: str
    payload: dict[str, Any]
    user_id: int | None
    max_attempts: int
    run_at: datetime | None
    metadata: dict[str, Any] | None
    idempotency_key: str | None
    request_hash: str
    ttl_s: int
    """Seconds it may wait before it ends ``expired``; 0: for ever."""


@dataclass(frozen=True)
class Stored:
    """Where a submission ended up: in a row of its own, or in an earlier one."""

    job_id: str
    created: bool
    same_request: bool
    """False: the key or id was used before with another request, which is a conflict."""
    dispatched: bool = False
    """True: the caller is to push the ticket of generation 1."""


def add(
    connection: Connection, new_jobs: Sequence[NewJob], *, dispatched: bool, actor: str
) -> list[Stored]:
    """Store the jobs, each with its first transition; the outcomes are in the order given.

    ``dispatched`` says that the caller will push the tickets (generation 1) after the commit.
    Jobs with a future ``run_at`` are never dispatched here.
    """
    if not new_jobs:
        return []
    now = sql_time(connection)
    rows = [_values(new_job, now, dispatched=dispatched) for new_job in new_jobs]
    # In one order, whatever the client's: two batches with the same keys would deadlock.
    ordered = sorted(rows, key=_by_key)
    created = set(connection.scalars(_insert_or_ignore(connection), ordered))
    if created:
        connection.execute(
            insert(job_transitions), [_first_transition(job_id, now, actor) for job_id in created]
        )
    dispatched_ids = {row["id"] for row in rows if row["dispatched_at"] != EPOCH}
    outcomes = []
    for new_job in new_jobs:
        if new_job.id in created:
            # An id that comes twice in the batch is the job of its first entry alone.
            created.remove(new_job.id)
            outcomes.append(Stored(new_job.id, True, True, dispatched=new_job.id in dispatched_ids))
        else:
            outcomes.append(_earlier(connection, new_job))
    return outcomes


def _by_key(row: dict[str, Any]) -> tuple[int, str, str]:
    return row["user_id"] or 0, row["idempotency_key"] or "", row["id"]


def _insert_or_ignore(connection: Connection) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(jobs).on_conflict_do_nothing().returning(jobs.c.id)


def _values(new_job: NewJob, now: datetime, *, dispatched: bool) -> dict[str, Any]:
    later = new_job.run_at is not None and new_job.run_at > now
    available_at = new_job.run_at if later else now
    assert available_at is not None
    expires_at = available_at + timedelta(seconds=new_job.ttl_s) if new_job.ttl_s else None
    return {
        "id": new_job.id,
        "job_type": new_job.job_type,
        "queue": new_job.queue,
        "status": JobStatus.QUEUED.value,
        "priority": new_job.priority,
        "payload": new_job.payload,
        "metadata": new_job.metadata,
        "user_id": new_job.user_id,
        "seq": 1,
        "attempts": 0,
        "failures": 0,
        "max_attempts": new_job.max_attempts,
        "deferrals": 0,
        "available_at": available_at,
        "dispatched_at": EPOCH if later or not dispatched else now,
        "expires_at": expires_at,
        "idempotency_key": new_job.idempotency_key,
        "request_hash": new_job.request_hash,
        "created_at": now,
        "updated_at": now,
    }


def _first_transition(job_id: str, now: datetime, actor: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "attempt": 0,
        "to_status": JobStatus.QUEUED.value,
        "at": now,
        "actor": actor,
    }


def _earlier(connection: Connection, new_job: NewJob) -> Stored:
    """The row that the insert collided with: one with this key, or one with this id."""
    same_user = func.coalesce(jobs.c.user_id, 0) == (new_job.user_id or 0)
    by_key = same_user & (jobs.c.idempotency_key == new_job.idempotency_key)
    found = None
    if new_job.idempotency_key is not None:
        found = connection.execute(
            select(jobs.c.id, jobs.c.request_hash).where(by_key)
        ).one_or_none()
    if found is None:
        found = connection.execute(
            select(jobs.c.id, jobs.c.request_hash).where(jobs.c.id == new_job.id)
        ).one()
    same_request = found.request_hash == new_job.request_hash
    return Stored(found.id, created=False, same_request=same_request)


def mark_not_dispatched(connection: Connection, tickets: Sequence[Ticket]) -> None:
    """Say that these tickets did not reach Redis: their jobs are due at once."""
    generations = [(ticket.job_id, ticket.seq) for ticket in tickets]
    connection.execute(
        update(jobs)
        .where(tuple_(jobs.c.id, jobs.c.seq).in_(generations), is_queued)
        .values(dispatched_at=EPOCH)
    )
