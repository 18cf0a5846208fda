"""The LLM client: ``LLMClient(settings).complete(ask)``, its outcome and its errors."""

from workers.llm.client import LLMClient
from workers.llm.completion import Completion
from workers.llm.errors import (
    AnswerTruncated,
    InvalidAnswer,
    LLMError,
    LLMQuotaExhausted,
    LLMRefused,
    LLMRejected,
    LLMServerError,
    LLMThrottled,
    LLMTimeout,
    LLMUnavailable,
)
from workers.llm.settings import LLMSettings

__all__ = [
    "AnswerTruncated",
    "Completion",
    "InvalidAnswer",
    "LLMClient",
    "LLMError",
    "LLMQuotaExhausted",
    "LLMRefused",
    "LLMRejected",
    "LLMServerError",
    "LLMSettings",
    "LLMThrottled",
    "LLMTimeout",
    "LLMUnavailable",
]
