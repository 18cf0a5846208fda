"""``followup``: writes the one question that would clear up a message."""

import re
from typing import Any

from app.job_types.fields import FilledText, Text
from app.job_types.prompting import render
from app.jobs.ask import Ask
from app.jobs.context import ReadContext, WriteContext
from app.jobs.job_type import AnswerUnusable, JobType, Payload

MAX_QUESTION_CHARS = 1_000
# A line up to its first question mark: Latin (not one inside a URL), full-width or Arabic.
_QUESTION = re.compile(r"^.*?(?:\?(?!\w)|[\uff1f\u061f])", re.MULTILINE)
# Quotation marks, straight and typographic, and Markdown's marks.
_WRAPPING = " \t\"'*_`>-\u00ab\u00bb\u2018\u2019\u201c\u201d"


class FollowupPayload(Payload):
    """The message that was not understood, and what is known about it."""

    message: FilledText
    context: Text | None = None


class Followup(JobType[FollowupPayload, str]):
    """Asks for plain text; of what comes back the first question counts."""

    name = "followup"
    queue = "llm_followup"
    notification = "llm_followup_result"
    intake_stream = "llm:followup"
    payload_model = FollowupPayload

    def ask(self, payload: FollowupPayload, context: ReadContext) -> Ask:  # noqa: ARG002 - the base's
        """The message, and the context where it says something."""
        known = payload.context if payload.context and payload.context.strip() else None
        texts = {"message": payload.message, "context": known}
        return Ask(prompt=render(self.name, texts), answer=None)

    def apply(
        self,
        payload: FollowupPayload,  # noqa: ARG002 - the base's signature
        answer: str | None,
        context: WriteContext,  # noqa: ARG002 - likewise
    ) -> dict[str, Any]:
        """The question. Raises ``AnswerUnusable`` for a text without one (an apology, say)."""
        assert answer is not None
        return {"question": first_question(answer)}


def first_question(text: str) -> str:
    """The first line of ``text`` that asks, up to its question mark, without quotation marks.

    A model's thoughts, up to ``</think>``, are not looked at. Raises ``AnswerUnusable`` where there
    is no question, or it is over 1,000 characters.
    """
    said = text.rpartition("</think>")[2].replace("\0", "")
    found = _QUESTION.search(said)
    question = found[0].strip(_WRAPPING) if found else ""
    if not re.search(r"\w", question):
        raise AnswerUnusable("the reply holds no question")
    if len(question) > MAX_QUESTION_CHARS:
        raise AnswerUnusable(f"the question has more than {MAX_QUESTION_CHARS} characters")
    return question


JOB_TYPE = Followup()
