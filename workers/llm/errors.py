"""What may go wrong when the LLM is asked: one class per outcome, each with its policy.

    LLMError
    ├── LLMUnavailable       uncounted   not reached, or 502, 503, 504, 408, "loading model"
    ├── LLMTimeout           counted     the deadline passed, or the connection broke, after sent
    ├── LLMThrottled         uncounted   429
    ├── LLMQuotaExhausted    uncounted   429 or 402: no credit left
    ├── InvalidAnswer        counted     not the answer that was asked for, twice
    ├── AnswerTruncated      counted     the token limit was reached, twice
    ├── LLMRefused           permanent   refusal, content filter, tool calls instead of text
    ├── LLMRejected          permanent   400, 401, 403, 404, 413, 422, context overflow
    └── LLMServerError       counted     500 and other 5xx

``counted`` is a failure of the job, ``uncounted`` is not, and ``permanent`` ends it.
"""
# ruff: noqa: N818 - these name outcomes of a call, as metrics and history spell them

from typing import Any, ClassVar, Literal

from app.store.rows import Usage

Policy = Literal["counted", "uncounted", "permanent"]
Message = dict[str, Any]
"""A chat message as it was sent, with a placeholder for the image's data."""


MAX_MESSAGE_CHARS = 500


class LLMError(Exception):
    """The root. ``code`` is stable; ``message`` holds no secret, in 500 characters at most.

    What the failed question had cost by then is kept for the attempt: ``usage``, ``model``,
    ``calls`` (requests that reached the server), ``messages`` (sent last) and ``text`` (the last
    reply). ``status`` is the HTTP status, where one was received.
    """

    code: ClassVar[str] = "llm_error"
    policy: ClassVar[Policy] = "counted"

    def __init__(
        self, message: str, *, status: int | None = None, text: str | None = None, calls: int = 0
    ) -> None:
        self.message = message[:MAX_MESSAGE_CHARS]
        super().__init__(self.message)
        self.status = status
        self.text = text
        self.calls = calls
        self.usage = Usage()
        self.model: str | None = None
        self.messages: list[Message] = []


class LLMUnavailable(LLMError):
    """The LLM was not reached, or says that it cannot serve now: the job is not to blame."""

    code = "llm_unavailable"
    policy = "uncounted"


class LLMTimeout(LLMError):
    """The deadline passed, or the connection broke, after the request was sent (and maybe paid)."""

    code = "llm_timeout"


class LLMThrottled(LLMError):
    """Too many requests. ``retry_after_s`` is what the server asked for, if that made sense."""

    code = "llm_throttled"
    policy = "uncounted"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class LLMQuotaExhausted(LLMError):
    """The account has no credit left: a person must act, waiting a little does not help."""

    code = "llm_quota_exhausted"
    policy = "uncounted"


class InvalidAnswer(LLMError):
    """The reply is not the answer that was asked for, also after it was told what was wrong."""

    code = "invalid_answer"


class AnswerTruncated(LLMError):
    """The reply was cut at the token limit, also with twice the tokens."""

    code = "answer_truncated"


class LLMRefused(LLMError):
    """The LLM declines to answer this question."""

    code = "llm_refused"
    policy = "permanent"


class LLMRejected(LLMError):
    """The server will not take this request; see ``status`` (401, 403 and 404: it is set up wrong).

    A redirect counts as one: the client follows none.
    """

    code = "llm_rejected"
    policy = "permanent"


class LLMServerError(LLMError):
    """The server failed. Counted, since some servers answer 500 to a request they cannot read."""

    code = "llm_server_error"
