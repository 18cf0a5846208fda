"""The errors that a client can cause or must know of, in one tree.

    LlmJobsError                     500 internal_error
    ├── BadRequestError              400 bad_request        (not JSON, too deep, NaN)
    ├── NotFoundError                404 not_found
    ├── ConflictError                409 conflict
    │   ├── IllegalTransitionError   409 illegal_transition (names the legal next states)
    │   ├── StaleAttemptError        409 stale_attempt
    │   └── IdempotencyConflictError 409 idempotency_key_reused
    ├── TooLargeError                413 too_large
    ├── InvalidInputError            422 invalid_input      (carries one entry per field)
    │   └── UnknownJobTypeError      422 unknown_job_type
    └── DatabaseUnavailableError     503 database_unavailable

Each has a stable ``code`` and an HTTP ``status``; the message says what to do.
"""

from typing import Any, ClassVar, Self

from app.jobs.status import JobStatus, legal_next


class LlmJobsError(Exception):
    """The root: ``code`` is stable, ``status`` is its HTTP status, ``extra`` goes to the client."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


class BadRequestError(LlmJobsError):
    """The request cannot be read at all."""

    code = "bad_request"
    status = 400


class NotFoundError(LlmJobsError):
    """There is no such thing, or it is another tenant's."""

    code = "not_found"
    status = 404


class ConflictError(LlmJobsError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409


class IllegalTransitionError(ConflictError):
    """The state machine does not allow the move; ``extra["legal"]`` lists what it allows."""

    code = "illegal_transition"

    @classmethod
    def between(cls, source: JobStatus, target: str, why: str = "") -> Self:
        """The error for a job that is ``source`` and cannot become ``target``."""
        legal = legal_next(source)
        words = f"It may become: {', '.join(legal)}." if legal else "It is final."
        message = f"The job is {source}; it cannot become {target} {why}".rstrip() + f". {words}"
        return cls(message, legal=legal)


class StaleAttemptError(ConflictError):
    """The job has moved on to a newer attempt, or its lease belongs to somebody else."""

    code = "stale_attempt"


class IdempotencyConflictError(ConflictError):
    """The same ``Idempotency-Key`` was used with another body."""

    code = "idempotency_key_reused"


class TooLargeError(LlmJobsError):
    """The body is over the limit."""

    code = "too_large"
    status = 413


class InvalidInputError(LlmJobsError):
    """The request was read but its content is wrong; ``extra["errors"]`` names each field."""

    code = "invalid_input"
    status = 422


class UnknownJobTypeError(InvalidInputError):
    """No job type of this name; ``extra["job_types"]`` lists those that exist."""

    code = "unknown_job_type"


class DatabaseUnavailableError(LlmJobsError):
    """The database does not answer; nothing was accepted, try again."""

    code = "database_unavailable"
    status = 503
