"""What a client asks for when it submits a job, and the check that makes a ``NewJob`` of it."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import uuid_utils
from pydantic import ValidationError

from app.errors import InvalidInputError, UnknownJobTypeError
from app.job_types.registry import AnyJobType, all_job_types
from app.store.submissions import NewJob
from queues.names import PRIORITIES, list_name

MAX_KEY_CHARS = 200
MAX_ATTEMPTS = 100
_INT64 = range(-(2**63), 2**63)
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

FieldErrors = list[dict[str, str]]


@dataclass(frozen=True)
class Submission:
    """What a client asks for; nothing in it has been checked."""

    job_type: str
    payload: dict[str, Any]
    user_id: int | None = None
    max_attempts: int | None = None
    run_at: datetime | None = None
    priority: str = "normal"
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    job_id: str | None = None


def checked(submission: Submission, *, default_max_attempts: int, ttl_s: int) -> NewJob:
    """The submission as a row to be.

    Raises ``UnknownJobTypeError``, or ``InvalidInputError`` with one entry per wrong field in
    ``extra["errors"]``: ``{"loc": "payload.query", "msg": "Field required"}``.
    """
    job_type = all_job_types().get(submission.job_type)
    if job_type is None:
        names = sorted(all_job_types())
        raise UnknownJobTypeError(
            f"There is no job type {submission.job_type!r}. The job types are: {', '.join(names)}.",
            job_types=names,
        )
    errors = _field_errors(submission) + _payload_errors(job_type, submission.payload)
    if errors:
        raise InvalidInputError("The job was not accepted: see the errors.", errors=errors)
    wanted = submission.max_attempts or job_type.max_attempts or default_max_attempts
    return NewJob(
        id=submission.job_id or str(uuid_utils.uuid7()),
        job_type=job_type.name,
        queue=list_name(job_type.queue, submission.priority),
        priority=submission.priority,
        payload=submission.payload,
        user_id=submission.user_id,
        max_attempts=wanted,
        run_at=submission.run_at,
        metadata=submission.metadata,
        idempotency_key=submission.idempotency_key,
        request_hash=_request_hash(submission),
        ttl_s=ttl_s,
    )


def _field_errors(submission: Submission) -> FieldErrors:
    """What is wrong outside the payload."""
    errors: FieldErrors = []

    def require(is_right: bool, loc: str, msg: str) -> None:
        if not is_right:
            errors.append({"loc": loc, "msg": msg})

    user_id, attempts = submission.user_id, submission.max_attempts
    run_at, key = submission.run_at, submission.idempotency_key
    require(user_id is None or user_id in _INT64, "user_id", "must be a 64-bit integer")
    require(
        attempts is None or 1 <= attempts <= MAX_ATTEMPTS,
        "max_attempts",
        f"must be from 1 to {MAX_ATTEMPTS}",
    )
    require(
        submission.priority in PRIORITIES, "priority", f"must be one of {', '.join(PRIORITIES)}"
    )
    require(
        run_at is None or run_at.tzinfo is not None,
        "run_at",
        "must have an offset, for example 2026-01-31T09:00:00Z",
    )
    require(
        key is None or (0 < len(key) <= MAX_KEY_CHARS and key.isprintable()),
        "idempotency_key",
        f"must be 1 to {MAX_KEY_CHARS} printable characters",
    )
    require(
        submission.job_id is None or _JOB_ID.fullmatch(submission.job_id) is not None,
        "job_id",
        "must be 1 to 64 letters, digits, underscores and dashes",
    )
    require(_is_json(submission.metadata), "metadata", "must be JSON without NaN and Infinity")
    return errors


def _payload_errors(job_type: AnyJobType, payload: dict[str, Any]) -> FieldErrors:
    if not _is_json(payload):
        return [{"loc": "payload", "msg": "must be JSON without NaN and Infinity"}]
    try:
        job_type.payload_model.model_validate(payload)
    except ValidationError as error:
        return [
            {
                "loc": ".".join(["payload", *(str(part) for part in problem["loc"])]),
                "msg": problem["msg"].removeprefix("Value error, "),
            }
            for problem in error.errors(include_url=False, include_input=False)
        ]
    return []


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _request_hash(submission: Submission) -> str:
    """SHA-256 of what makes two requests the same one: all but the key and the id."""
    run_at = submission.run_at.isoformat() if submission.run_at else None
    request = [
        submission.job_type,
        submission.payload,
        submission.user_id,
        submission.max_attempts,
        run_at,
        submission.priority,
        submission.metadata,
    ]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
