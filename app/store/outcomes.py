"""The ends of an attempt, one function each. All of them pass the fence first.

The fence is the first UPDATE: it names the token, and matches no row when the attempt has lost the
job (its lease ran out, the job was cancelled). Then nothing at all is written and the function
returns ``False``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, update

from app.jobs import notification
from app.jobs.status import JobStatus
from app.store.claims import Claim
from app.store.database import EPOCH, sql_now
from app.store.rows import Usage
from app.store.schema import attempts, jobs
from app.store.transitions import record

Result = dict[str, Any] | None
MAX_MESSAGE_CHARS = 2_000


@dataclass(frozen=True)
class Report:
    """What an attempt leaves on its record: what was asked, answered, used."""

    model: str | None = None
    usage: Usage = field(default_factory=Usage)
    prompt_name: str | None = None
    prompt_version: str | None = None
    prompt_sha256: str | None = None
    prompt: list[dict[str, Any]] | None = None
    answer: str | None = None
    repaired: bool = False
    llm_calls: int = 0


@dataclass(frozen=True)
class Problem:
    """Why an attempt did not complete: a stable code, and words for a person."""

    code: str
    message: str

    def __post_init__(self) -> None:
        """Make the message one that every database can hold."""
        object.__setattr__(self, "message", storable(self.message)[:MAX_MESSAGE_CHARS])


def storable(text: str) -> str:
    """The text without what a text column refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def complete(
    connection: Connection,
    claim: Claim,
    report: Report,
    message_type: str | None,
    apply: Callable[[Connection], Result],
) -> bool:
    """Complete the job: ``apply``'s rows, the result, the transition and its notification at once.

    What ``apply`` raises undoes everything, the caller's transaction being rolled back.
    """
    done: dict[str, Any] = {"error_code": None, "error_message": None}
    if not _leave(connection, claim, JobStatus.COMPLETED, report, finished=True, **done):
        return False
    result = apply(connection)
    connection.execute(update(jobs).where(jobs.c.id == claim.job_id).values(result=result))
    told = notification.of_result(message_type, claim.user_id, result)
    _log(connection, claim, JobStatus.COMPLETED, None, told)
    _end_attempt(connection, claim, "completed", None, report)
    return True


def retry_later(
    connection: Connection, claim: Claim, problem: Problem, report: Report, wait_s: float
) -> bool:
    """Queue the job again after a failure that counts; its ticket stays what it was."""
    changed = _leave(
        connection,
        claim,
        JobStatus.QUEUED,
        report,
        failures=jobs.c.failures + 1,
        deferrals=0,
        deferred_since=None,
        **_wait(connection, wait_s),
        **_error(problem),
    )
    return changed and _written(connection, claim, JobStatus.QUEUED, "retry", problem, report)


def defer(
    connection: Connection, claim: Claim, problem: Problem, report: Report, wait_s: float
) -> bool:
    """Queue the job again without a failure: the LLM was away or had no capacity."""
    changed = _leave(
        connection,
        claim,
        JobStatus.QUEUED,
        report,
        deferrals=jobs.c.deferrals + 1,
        deferred_since=func.coalesce(jobs.c.deferred_since, sql_now(connection)),
        **_wait(connection, wait_s),
        **_error(problem),
    )
    return changed and _written(connection, claim, JobStatus.QUEUED, "deferred", problem, report)


def fail(
    connection: Connection,
    claim: Claim,
    status: JobStatus,
    problem: Problem,
    report: Report,
    *,
    counted: bool,
) -> bool:
    """End the job as ``failed`` or ``error``, with the notification that says so."""
    changed = _leave(
        connection,
        claim,
        status,
        report,
        finished=True,
        failures=jobs.c.failures + int(counted),
        **_error(problem),
    )
    if not changed:
        return False
    told = notification.of_failure(claim.job_type, claim.user_id, claim.payload, problem.code)
    return _written(connection, claim, status, status.value, problem, report, told)


def release(connection: Connection, claim: Claim, reason: str) -> bool:
    """Put the job back, to be run at once by another worker, without a failure."""
    report = Report()
    if not _leave(connection, claim, JobStatus.QUEUED, report, **_wait(connection, 0.0)):
        return False
    _log(connection, claim, JobStatus.QUEUED, reason, None)
    _end_attempt(connection, claim, "released", Problem(reason, reason), report)
    return True


def _leave(
    connection: Connection,
    claim: Claim,
    target: JobStatus,
    report: Report,
    *,
    finished: bool = False,
    **values: Any,
) -> bool:
    """The fence: leave ``processing`` if the token still holds the job."""
    result = connection.execute(
        update(jobs)
        .where(
            jobs.c.id == claim.job_id,
            jobs.c.status == JobStatus.PROCESSING.value,
            jobs.c.locked_by == claim.token,
        )
        .values(
            status=target.value,
            locked_by=None,
            lease_until=None,
            updated_at=sql_now(connection),
            finished_at=sql_now(connection) if finished else None,
            **_accounted(report),
            **values,
        )
    )
    return result.rowcount == 1


def _accounted(report: Report) -> dict[str, Any]:
    """The job's own totals: every attempt counts, a number that nobody knows stays null."""
    values: dict[str, Any] = {"model": storable(report.model)} if report.model else {}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        tokens = getattr(report.usage, name)
        if tokens is not None:
            values[name] = func.coalesce(jobs.c[name], 0) + tokens
    return values


def _wait(connection: Connection, wait_s: float) -> dict[str, Any]:
    return {"available_at": sql_now(connection, wait_s), "dispatched_at": EPOCH}


def _error(problem: Problem) -> dict[str, Any]:
    return {"error_code": problem.code, "error_message": problem.message}


def _written(
    connection: Connection,
    claim: Claim,
    target: JobStatus,
    outcome: str,
    problem: Problem,
    report: Report,
    told: notification.Notification | None = None,
) -> bool:
    _log(connection, claim, target, problem.code, told)
    _end_attempt(connection, claim, outcome, problem, report)
    return True


def _log(
    connection: Connection,
    claim: Claim,
    target: JobStatus,
    reason: str | None,
    told: notification.Notification | None,
) -> None:
    record(
        connection,
        job_id=claim.job_id,
        attempt=claim.attempt,
        source=JobStatus.PROCESSING,
        target=target,
        actor=claim.worker,
        reason=reason,
        notification=told,
    )


def _end_attempt(
    connection: Connection, claim: Claim, outcome: str, problem: Problem | None, report: Report
) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.job_id == claim.job_id, attempts.c.attempt == claim.attempt)
        .values(
            finished_at=sql_now(connection),
            outcome=outcome,
            error_code=problem.code if problem else None,
            error_message=problem.message if problem else None,
            model=report.model and storable(report.model),
            prompt_tokens=report.usage.prompt_tokens,
            completion_tokens=report.usage.completion_tokens,
            total_tokens=report.usage.total_tokens,
            prompt_name=report.prompt_name,
            prompt_version=report.prompt_version,
            prompt_sha256=report.prompt_sha256,
            prompt=report.prompt,
            answer=None if report.answer is None else storable(report.answer),
            repaired=report.repaired,
            llm_calls=report.llm_calls,
        )
    )
