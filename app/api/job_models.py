"""Jobs as HTTP spells them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.api.fields import In, Out, ShortText, Time, UserId, UserIdFilter
from app.api.paging import Page
from app.jobs.status import JobStatus
from app.store.rows import AttemptRow, JobRow, TransitionRow
from queues.names import Priority

MAX_ATTEMPTS = 100
MAX_WAIT_S = 60
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=200)]


class JobIn(In):
    """A job to be done. What ``payload`` must hold depends on ``job_type``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_type": "intent_classify",
                    "payload": {"query": "remind me to call the dentist tomorrow at 9"},
                    "user_id": 12345,
                }
            ]
        }
    )

    job_type: ShortText
    payload: dict[str, Any]
    user_id: UserId | None = None
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)] | None = None
    run_at: Time | None = None
    priority: Priority = "normal"
    metadata: dict[str, Any] | None = None


class BatchJobIn(JobIn):
    """A job of a batch, which has its own idempotency key."""

    idempotency_key: IdempotencyKey | None = None


class IdempotencyHeader(In, extra="ignore"):
    """The header ``Idempotency-Key``: the same key and body again give the first job."""

    idempotency_key: IdempotencyKey | None = None


class JobPatch(In):
    """What a worker outside this project reports about a job."""

    status: JobStatus | None = None
    result: Any = None
    error_message: Annotated[str, Field(max_length=10_000)] | None = None
    attempt: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)] | None = None


class JobFilter(Page):
    """Which jobs."""

    status: JobStatus | None = None
    job_type: ShortText | None = None
    user_id: UserIdFilter | None = None


class Wait(In):
    """How long to wait for the job to become final, in seconds."""

    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_S)] = 0.0


class UsageOut(Out):
    """Tokens as the LLM reported them; null where it did not."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None


class JobOut(Out):
    """A job."""

    id: str
    job_type: str
    queue: str
    payload: dict[str, Any]
    user_id: int | None
    status: JobStatus
    result: Any
    error_message: str | None
    error_code: str | None
    attempts: int
    failures: int
    max_attempts: int
    priority: str
    metadata: dict[str, Any] | None
    created_at: Time
    updated_at: Time
    started_at: Time | None
    finished_at: Time | None
    next_attempt_at: Time | None
    model: str | None
    usage: UsageOut

    @classmethod
    def of(cls, job: JobRow) -> "JobOut":
        """From the store's row."""
        return cls.model_validate(job, from_attributes=True)


class BatchErrorOut(Out):
    """Why the job at ``index`` (from 0) was not accepted."""

    index: int
    code: str
    detail: str


class BatchOut(Out):
    """What became of a batch; ``jobs`` are the accepted ones' ids, in the order sent."""

    accepted: int
    jobs: list[str]
    errors: list[BatchErrorOut]


class TransitionOut(Out):
    """A change of state; ``from`` is null for the first."""

    from_: Annotated[str | None, Field(alias="from")]
    to: str
    at: Time
    attempt: int
    actor: str
    reason: str | None

    @classmethod
    def of(cls, row: TransitionRow) -> "TransitionOut":
        """From the store's row."""
        return cls.model_validate(
            {
                "from": row.source,
                "to": row.target,
                "at": row.at,
                "attempt": row.attempt,
                "actor": row.actor,
                "reason": row.reason,
            }
        )


class AttemptOut(Out):
    """One start of the job by a worker."""

    attempt: int
    worker: str
    started_at: Time
    finished_at: Time | None
    outcome: Annotated[str | None, Field(description="null while it runs")]
    error_code: str | None
    model: str | None
    usage: UsageOut

    @classmethod
    def of(cls, row: AttemptRow) -> "AttemptOut":
        """From the store's row."""
        return cls.model_validate(row, from_attributes=True)


class HistoryOut(Out):
    """What happened to a job, oldest first."""

    transitions: list[TransitionOut]
    attempts: list[AttemptOut]
