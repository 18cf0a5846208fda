"""Jobs in every state, made through the store itself, and what a test reads back from SQL."""

from collections.abc import Iterable
from itertools import count
from typing import Any

from sqlalchemy import select, update

from app.jobs.status import JobStatus
from app.store import claims, control, outcomes, submissions
from app.store.claims import Claim
from app.store.database import Database
from app.store.outcomes import Problem, Report
from app.store.schema import attempts, job_transitions, jobs
from app.store.submissions import NewJob
from queues.ticket import Ticket

PAYLOAD = {"query": "remind me to call the dentist"}
QUEUE = "llm_intent"
PROBLEM = Problem("invalid_answer", "The answer was not JSON.")
ENQUEUED_AT = "2026-01-02T03:04:05+00:00"
LATER = "2026-01-02T04:00:00+00:00"
_numbers = count(1)


def new_job(**fields: Any) -> NewJob:
    """A checked submission of an ``intent_classify`` job; ``fields`` win."""
    defaults: dict[str, Any] = {
        "id": f"job-{next(_numbers)}",
        "job_type": "intent_classify",
        "queue": QUEUE,
        "priority": "normal",
        "payload": PAYLOAD,
        "user_id": 7,
        "max_attempts": 5,
        "run_at": None,
        "metadata": None,
        "idempotency_key": None,
        "request_hash": "hash",
        "ttl_s": 0,
    }
    return NewJob(**(defaults | fields))


def add_job(database: Database, *, dispatched: bool = True, **fields: Any) -> str:
    """Store a queued job; returns its id."""
    job = new_job(**fields)
    with database.begin() as connection:
        submissions.add(connection, [job], dispatched=dispatched, actor="api")
    return job.id


def add_jobs(database: Database, number: int, **fields: Any) -> list[str]:
    """Store several queued jobs at once; returns their ids."""
    new_jobs = [new_job(**fields) for _ in range(number)]
    with database.begin() as connection:
        submissions.add(connection, new_jobs, dispatched=True, actor="api")
    return [job.id for job in new_jobs]


def try_claim(database: Database, job_id: str, **fields: Any) -> Claim | None:
    """Claim the job as a worker does; ``None`` when the ticket is void."""
    defaults: dict[str, Any] = {
        "seq": 1,
        "token": f"token-{next(_numbers)}",
        "worker": "worker-1",
        "lease_s": 30.0,
        "enqueued_at": ENQUEUED_AT,
    }
    with database.begin() as connection:
        return claims.claim(connection, job_id=job_id, **(defaults | fields))


def claimed(database: Database, job_id: str | None = None, **fields: Any) -> Claim:
    """A job that a worker is running; ``fields`` are ``try_claim``'s."""
    claim = try_claim(database, job_id or add_job(database), **fields)
    assert claim is not None
    return claim


def completed(database: Database, **fields: Any) -> str:
    """A completed job's id."""
    claim = claimed(database, add_job(database, **fields))
    with database.begin() as connection:
        assert outcomes.complete(connection, claim, Report(), "llm_intent_result", lambda _: {})
    return claim.job_id


def ended(database: Database, status: JobStatus, **fields: Any) -> str:
    """The id of a job that ended ``failed`` or ``error`` in its first attempt."""
    claim = claimed(database, add_job(database, **fields))
    fail(database, claim, status)
    return claim.job_id


def fail(database: Database, claim: Claim, status: JobStatus = JobStatus.FAILED) -> None:
    """End the attempt and its job."""
    with database.begin() as connection:
        assert outcomes.fail(connection, claim, status, PROBLEM, Report(), counted=True)


def waiting(database: Database, wait_s: float = 5.0, **fields: Any) -> str:
    """The id of a job that waits for its retry after a counted failure."""
    claim = claimed(database, add_job(database, **fields))
    with database.begin() as connection:
        assert outcomes.retry_later(connection, claim, PROBLEM, Report(), wait_s)
    return claim.job_id


def cancelled(database: Database, **fields: Any) -> str:
    """The id of a job that was cancelled while it waited."""
    job_id = add_job(database, **fields)
    with database.begin() as connection:
        control.cancel(connection, control.locked(connection, job_id), "api")
    return job_id


def row_of(database: Database, job_id: str) -> Any:
    """The job's row as it is in SQL."""
    with database.read() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()


def set_columns(database: Database, job_ids: Iterable[str], **values: Any) -> None:
    """Change jobs behind the store's back, for states that only time or faults bring about."""
    with database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id.in_(list(job_ids))).values(**values))


def moves_of(database: Database, job_id: str) -> list[tuple[str | None, str]]:
    """The job's transitions, oldest first: (from, to)."""
    with database.read() as connection:
        rows = connection.execute(
            select(job_transitions.c.from_status, job_transitions.c.to_status)
            .where(job_transitions.c.job_id == job_id)
            .order_by(job_transitions.c.id)
        )
        return [(row[0], row[1]) for row in rows]


def notifications_of(database: Database, job_id: str) -> list[Any]:
    """The bodies of the job's notifications, oldest first."""
    with database.read() as connection:
        return list(
            connection.scalars(
                select(job_transitions.c.notification)
                .where(
                    job_transitions.c.job_id == job_id,
                    job_transitions.c.notification.is_not(None),
                )
                .order_by(job_transitions.c.id)
            )
        )


def attempts_of(database: Database, job_id: str) -> list[Any]:
    """The job's attempts, oldest first."""
    with database.read() as connection:
        return list(
            connection.execute(
                select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.attempt)
            )
        )


def ticket(job_id: str, seq: int = 1, list_name: str = QUEUE) -> Ticket:
    """A ticket of an ``intent_classify`` job."""
    return Ticket(job_id, seq, "intent_classify", list_name)
