"""The base of a job type: what one file under ``app/job_types/`` declares."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from app.jobs.ask import Ask
from app.jobs.context import ReadContext, WriteContext

MAX_TEXT_CHARS = 100_000


class Payload(BaseModel):
    """What a client sends. Unknown fields are ignored here and kept in the stored payload."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=False)


class Answer(BaseModel):
    """What the LLM must answer; validated strictly, unknown fields are dropped.

    The JSON Schema forbids them all the same: servers that enforce a schema insist on that.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra={"additionalProperties": False},
    )


class JobRejected(Exception):  # noqa: N818 - a verdict on the job, not a fault of the program
    """The job can never succeed as it is: it ends ``error`` with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class AnswerUnusable(Exception):  # noqa: N818 - a verdict on the answer, not a fault of the program
    """``apply`` cannot use the answer, for a reason that the answer's model cannot state.

    The attempt is a counted failure like any other invalid answer; nothing of it is stored.
    """

    code = "invalid_answer"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


PayloadT = TypeVar("PayloadT", bound=Payload)
AnswerT = TypeVar("AnswerT")


class JobType(ABC, Generic[PayloadT, AnswerT]):
    """One kind of job: its names, its payload and answer, its question and its effect.

    ``AnswerT`` is the validated answer: a model, or ``str`` where ``answer_model`` is ``None``.
    """

    name: ClassVar[str]
    queue: ClassVar[str]
    """The RQ queue of priority ``normal``."""
    notification: ClassVar[str | None] = None
    """``message_type`` of the notification, or ``None`` to publish nothing."""
    intake_stream: ClassVar[str | None] = None
    max_attempts: ClassVar[int | None] = None
    """Counted attempts in all; ``None``: the setting ``LLM_MAX_RETRIES``."""
    payload_model: ClassVar[type[Payload]]
    answer_model: ClassVar[type[BaseModel] | None] = None

    @abstractmethod
    def ask(self, payload: PayloadT, context: ReadContext) -> Ask | None:
        """The question to the LLM, or ``None``: nothing to ask, ``apply`` gets no answer."""

    @abstractmethod
    def apply(
        self, payload: PayloadT, answer: AnswerT | None, context: WriteContext
    ) -> dict[str, Any] | None:
        """Turn the answer into rows and the job's result; ``None``: publish nothing.

        ``answer`` is ``None`` exactly when ``ask`` returned ``None``. May raise
        ``AnswerUnusable``; the transaction is then rolled back.
        """
