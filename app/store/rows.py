"""What the store gives to the layers above it: frozen values, no SQLAlchemy."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.jobs.status import JobStatus


@dataclass(frozen=True)
class Usage:
    """Tokens as the LLM reported them; ``None`` where it did not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True)
class JobRow:
    """A job as its client sees it. Times are aware, in UTC."""

    id: str
    job_type: str
    queue: str
    status: JobStatus
    priority: str
    payload: dict[str, Any]
    result: Any
    metadata: dict[str, Any] | None
    user_id: int | None
    seq: int
    attempts: int
    failures: int
    max_attempts: int
    error_code: str | None
    error_message: str | None
    model: str | None
    usage: Usage
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    """When a waiting job is tried again; ``None`` while its ticket is in Redis or it runs."""


@dataclass(frozen=True)
class TransitionRow:
    """One entry of a job's history; ``source`` is ``None`` for the first."""

    source: str | None
    target: str
    at: datetime
    attempt: int
    actor: str
    reason: str | None


@dataclass(frozen=True)
class AttemptRow:
    """One start of a job by a worker; ``outcome`` is ``None`` while it runs."""

    attempt: int
    worker: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    error_code: str | None
    model: str | None
    usage: Usage
