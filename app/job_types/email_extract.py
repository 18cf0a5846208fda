"""``email_extract``: finds appointments in an e-mail and proposes them as calendar events."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from app.job_types.fields import Confidence, Moment, Sentence, Text, parse_time
from app.job_types.moments import now_texts
from app.job_types.prompting import render
from app.jobs.ask import Ask
from app.jobs.context import ReadContext, WriteContext
from app.jobs.job_type import Answer, JobType, Payload

CONFIDENT = 0.7
"""An event counts above this."""
MAX_EVENTS = 50


class EmailExtractPayload(Payload):
    """An e-mail; its subject or its body may be empty, not both."""

    subject: Text
    body: Text

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if not (self.subject.strip() or self.body.strip()):
            raise ValueError("subject and body are both blank; give one of them")
        return self


class FoundEvent(Answer):
    """An appointment; a time without an offset is in UTC, as the LLM was told the time."""

    description: Sentence
    event_time: Moment
    confidence: Confidence


class EmailExtractAnswer(Answer):
    """The appointments, the most certain first; none is a good answer."""

    events: Annotated[list[FoundEvent], Field(max_length=MAX_EVENTS)]


class EmailExtract(JobType[EmailExtractPayload, EmailExtractAnswer]):
    """The user confirms or rejects each event. Without a user none is stored: nobody owns it.

    The result, which a client can still read, is the same.
    """

    name = "email_extract"
    queue = "llm_email_extract"
    notification = "event_confirmation"
    intake_stream = "llm:email_extract"
    payload_model = EmailExtractPayload
    answer_model = EmailExtractAnswer

    def ask(self, payload: EmailExtractPayload, context: ReadContext) -> Ask:
        """Relative dates count from when the job was submitted."""
        texts = now_texts(context.submitted_at)
        texts |= {"subject": payload.subject, "body": payload.body}
        return Ask(prompt=render(self.name, texts), answer=EmailExtractAnswer, max_tokens=2_048)

    def apply(
        self,
        payload: EmailExtractPayload,
        answer: EmailExtractAnswer | None,
        context: WriteContext,
    ) -> dict[str, Any] | None:
        """Store each confident event once; the result is the first, or nothing."""
        assert answer is not None
        confident = [event for event in answer.events if event.confidence > CONFIDENT]
        found = list(
            dict.fromkeys((event.description, parse_time(event.event_time)) for event in confident)
        )
        if context.user_id is not None:
            for description, time in found:
                context.add_pending_event(description, time, "email", payload.subject)
        if not found:
            return None
        description, time = found[0]
        return {"description": description, "event_date": time.isoformat()}


JOB_TYPE = EmailExtract()
