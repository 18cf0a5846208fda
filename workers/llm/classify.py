"""Which outcome an HTTP error is."""

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite

from workers.llm.errors import (
    LLMError,
    LLMQuotaExhausted,
    LLMRefused,
    LLMRejected,
    LLMServerError,
    LLMThrottled,
    LLMUnavailable,
)
from workers.llm.problem import Problem
from workers.llm.redact import redact

MAX_RETRY_AFTER_S = 3600.0

_UNAVAILABLE = (408, 502, 503, 504)
_LOADING = r"\bloading (the )?model\b|\bmodel\b.{0,100}\bloading\b"
_QUOTA = r"insufficient_quota|\bcredits?\b|\bbilling\b"
_FILTERED = r"content_filter|content_policy_violation"
_OVERFLOW = (
    r"context_length_exceeded|exceed_context_size|maximum context length"
    r"|exceeds? (the |its )?(available |maximum |model'?s )*context (size|length|window)"
)
_URL = re.compile(r"https?://\S+")


def classify(problem: Problem, headers: Mapping[str, str], secrets: tuple[str, ...]) -> LLMError:
    """The error for a reply that is not a 2xx, with a message that is safe to store."""
    status = problem.status
    message = _message(problem, secrets)
    if status in (402, 429):
        if status == 402 or _is_about_money(problem):  # noqa: PLR2004 - Payment Required
            return LLMQuotaExhausted(message, status=status)
        return LLMThrottled(message, retry_after_s=retry_after_s(headers), status=status)
    return _class_of(problem)(message, status=status)


def _class_of(problem: Problem) -> type[LLMError]:
    status = problem.status
    if status in _UNAVAILABLE:
        return LLMUnavailable
    # A 400, 413 or 422 may quote the prompt, whose words are no news of the server.
    if status not in (400, 413, 422) and problem.names(_LOADING):
        return LLMUnavailable
    if status == 400 and problem.codes(_FILTERED):  # noqa: PLR2004 - Azure's way to refuse
        return LLMRefused
    if status < 500 or problem.names(_OVERFLOW):  # noqa: PLR2004 - HTTP's own classes
        return LLMRejected
    return LLMServerError


def _is_about_money(problem: Problem) -> bool:
    """Rate-limit messages, too, link to a billing page and suggest to pay more."""
    if problem.codes(_QUOTA):
        return True
    if problem.codes(r"rate_limit"):
        return False
    return bool(re.search(_QUOTA, _URL.sub("", problem.message), re.IGNORECASE))


def _message(problem: Problem, secrets: tuple[str, ...]) -> str:
    said = redact(problem.message, secrets)
    status = problem.status
    return f"The LLM answered {status}: {said}" if said else f"The LLM answered {status}."


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or a date).

    ``None`` when there is none that makes sense: not positive, junk, or over an hour.
    """
    for candidate in (
        _number(headers.get("retry-after-ms"), scale=0.001),
        _number(headers.get("Retry-After")),
        _until(headers.get("Retry-After")),
    ):
        if candidate is not None and 0 < candidate <= MAX_RETRY_AFTER_S:
            return candidate
    return None


def _number(text: str | None, scale: float = 1.0) -> float | None:
    try:
        number = float(text or "") * scale
    except ValueError:
        return None
    return number if isfinite(number) else None


def _until(text: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
