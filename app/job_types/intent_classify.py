"""``intent_classify``: finds out what a message wants, and searches when it wants to find."""

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import model_validator

from app.job_types.fields import FilledText, MemoryId, Timestamp, parse_time
from app.job_types.intents import Intent, IntentAnswer, Search
from app.job_types.moments import now_texts
from app.job_types.prompting import render
from app.jobs.ask import Ask
from app.jobs.context import ReadContext, WriteContext
from app.jobs.job_type import JobType, Payload


class FollowupContext(Payload):
    """A question that was asked about the message, and the answer to it."""

    followup_question: FilledText
    user_answer: FilledText


class IntentClassifyPayload(Payload):
    """``query`` or ``message``, one of them. ``original_timestamp``: when it was written."""

    query: FilledText | None = None
    message: FilledText | None = None
    memory_id: MemoryId | None = None
    original_timestamp: Timestamp | None = None
    followup_context: FollowupContext | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.query is None) == (self.message is None):
            raise ValueError("give either query or message, and only one of them")
        return self

    @property
    def text(self) -> str:
        """What was written."""
        return self.query or self.message or ""

    @property
    def written_at(self) -> datetime | None:
        """``original_timestamp``, in UTC where it has no offset."""
        return parse_time(self.original_timestamp) if self.original_timestamp else None


class IntentClassify(JobType[IntentClassifyPayload, IntentAnswer]):
    """With a ``followup_context`` the message is classified anew, in its light."""

    name = "intent_classify"
    queue = "llm_intent"
    notification = "llm_intent_result"
    intake_stream = "llm:intent"
    payload_model = IntentClassifyPayload
    answer_model = IntentAnswer

    def ask(self, payload: IntentClassifyPayload, context: ReadContext) -> Ask:
        """Relative times count from ``original_timestamp``, else from the job's submission."""
        asked = payload.followup_context
        texts = now_texts(payload.written_at or context.submitted_at)
        texts |= {
            "original_timestamp": payload.original_timestamp,
            "query": payload.query,
            "message": payload.message,
            "followup_question": asked.followup_question if asked else None,
            "user_answer": asked.user_answer if asked else None,
        }
        return Ask(prompt=render(self.name, texts), answer=IntentAnswer)

    def apply(
        self, payload: IntentClassifyPayload, answer: IntentAnswer | None, context: WriteContext
    ) -> dict[str, Any]:
        """The intent with its fields; for ``search`` what was found; ``stale`` when it is late."""
        assert answer is not None
        found = answer.root
        keywords = " ".join(found.keywords) if isinstance(found, Search) else ""
        hits = context.search_memories(keywords) if keywords else []
        result: dict[str, Any] = {
            "query": payload.text,
            "intent": found.intent,
            "memory_id": payload.memory_id,
            "results": [{"memory_id": hit.memory_id, "title": hit.title} for hit in hits],
        }
        return result | _details(payload, found, context)


def _details(
    payload: IntentClassifyPayload, found: Intent, context: WriteContext
) -> dict[str, Any]:
    """The fields of the intent; its time gets the offset of the message where it has none."""
    details = found.model_dump()
    name = found.moment_field
    if name and details[name]:
        written_at = payload.written_at
        moment = parse_time(details[name], written_at.tzinfo if written_at else UTC)
        details[name] = moment.isoformat()
        if moment <= context.now:
            details["stale"] = True
    return details


JOB_TYPE = IntentClassify()
