"""Workers outside this project: what a ``PATCH`` may do to a job.

Such a worker claims a job with ``processing``, which gives it a lease, and ends it with another
state. It goes through the same state machine, and touches only what a PATCH has claimed.
"""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidInputError,
    StaleAttemptError,
)
from app.job_types.registry import all_job_types
from app.jobs.status import JobStatus
from app.store import claims, control, job_queries, outcomes
from app.store.claims import Claim
from app.store.database import Database, Transaction, sql_time
from app.store.rows import JobRow
from queues.ticket import Ticket

ACTOR = "api"
_DEFAULT_MESSAGE = "An external worker ended the job without saying why."


@dataclass(frozen=True)
class Change:
    """The body of a PATCH; ``attempt`` is the one that the worker believes to be running."""

    status: str | None
    result: Any = None
    error_message: str | None = None
    attempt: int | None = None


def apply_change(
    database: Database, job_id: str, change: Change, *, lease_s: float
) -> tuple[JobRow, Ticket | None]:
    """Make the change; returns the job and, when it was claimed, its ticket, which is void now.

    Raises ``NotFoundError``, ``InvalidInputError``, ``StaleAttemptError`` and, on anything that a
    PATCH has not claimed or that the state machine forbids, ``IllegalTransitionError``.
    """
    target = _target(change)
    with database.begin() as connection:
        row = control.locked(connection, job_id)
        if change.attempt is not None and change.attempt != row.attempts:
            raise StaleAttemptError(
                f"Attempt {change.attempt} is not the job's newest, which is {row.attempts}. "
                "Read the job again before changing it."
            )
        source = JobStatus(row.status)
        void = None
        if target is JobStatus.PROCESSING and source is JobStatus.QUEUED:
            void = control.ticket_of(row)
            _begin(connection, row, lease_s)
        else:
            claim = control.external_claim(row, ACTOR)
            if source is not JobStatus.PROCESSING or claim is None:
                raise IllegalTransitionError.between(source, target, "by PATCH, which has no claim")
            _continue(connection, row, claim, target, change, lease_s)
        job = job_queries.get(connection, job_id)
    assert job is not None
    return job, void


def _target(change: Change) -> JobStatus:
    allowed = ", ".join(JobStatus)
    if change.status is None:
        msg = f"Give the status that the job is to have: {allowed}"
        raise InvalidInputError(msg, errors=[{"loc": "status", "msg": "required"}])
    try:
        target = JobStatus(change.status)
    except ValueError:
        errors = [{"loc": "status", "msg": f"must be one of {allowed}"}]
        raise InvalidInputError(f"There is no status {change.status!r}.", errors=errors) from None
    if change.result is not None and not isinstance(change.result, dict):
        errors = [{"loc": "result", "msg": "must be a JSON object"}]
        raise InvalidInputError("The result must be a JSON object.", errors=errors)
    return target


def _begin(connection: Transaction, row: Any, lease_s: float) -> None:
    now = sql_time(connection)
    if row.expires_at is not None and row.expires_at <= now:
        raise ConflictError(
            "The job waited longer than QUEUE_JOB_TTL and is about to end as expired. "
            "Retry it when it has, and claim it then."
        )
    if row.available_at > now:
        raise ConflictError(
            f"The job waits until {row.available_at.isoformat()}. Claim it then, or retry it first."
        )
    control.claim_externally(connection, row, f"{control.EXTERNAL}{uuid4()}", ACTOR, lease_s)


def _continue(
    connection: Transaction,
    row: Any,
    claim: Claim,
    target: JobStatus,
    change: Change,
    lease_s: float,
) -> None:
    problem = outcomes.Problem("external_failure", change.error_message or _DEFAULT_MESSAGE)
    report = outcomes.Report()
    match target:
        case JobStatus.PROCESSING:
            claims.extend_lease(connection, claim.job_id, claim.token, lease_s)
        case JobStatus.COMPLETED:
            job_type = all_job_types().get(claim.job_type)
            message_type = job_type.notification if job_type else None
            outcomes.complete(connection, claim, report, message_type, lambda _: change.result)
        case JobStatus.FAILED | JobStatus.ERROR:
            outcomes.fail(connection, claim, target, problem, report, counted=True)
        case JobStatus.CANCELLED:
            control.cancel(connection, row, ACTOR)
        case JobStatus.QUEUED:
            outcomes.release(connection, claim, "given back by PATCH")
