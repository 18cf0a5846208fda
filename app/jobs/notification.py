"""What users' programs are told: the bodies of notifications, made with the transition itself."""

from typing import Any

FAILURE_TYPE = "llm_failure"

Notification = dict[str, Any]
"""``{"user_id", "message_type", "content"}``; the relay adds ``event_id`` and ``job_id``."""


def of_result(
    message_type: str | None, user_id: int | None, result: dict[str, Any] | None
) -> Notification | None:
    """The notification of a completed job; ``None`` without a result, a user or a type."""
    if message_type is None or user_id is None or result is None:
        return None
    return {"user_id": user_id, "message_type": message_type, "content": result}


def of_failure(
    job_type: str, user_id: int | None, payload: dict[str, Any], error_code: str
) -> Notification | None:
    """The notification of a job that ended ``failed`` or ``error``; ``None`` without a user."""
    if user_id is None:
        return None
    memory_id = payload.get("memory_id")
    return {
        "user_id": user_id,
        "message_type": FAILURE_TYPE,
        "content": {
            "job_type": job_type,
            "memory_id": memory_id if isinstance(memory_id, str) else "",
            "error_code": error_code,
        },
    }
