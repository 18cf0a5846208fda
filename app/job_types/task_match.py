"""``task_match``: finds the open task that a memory is about, if there is one."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import StrictStr

from app.job_types.fields import Confidence, FilledText, MemoryId, Sentence
from app.job_types.prompting import render
from app.jobs.ask import Ask
from app.jobs.context import OpenTask, ReadContext, WriteContext
from app.jobs.job_type import Answer, JobType, Payload

CONFIDENT = 0.7
"""A match counts above this."""
_MAX_OFFERED_CHARS = 500
"""Of each task's description, so that 200 long ones still make a prompt that a model can read."""


class TaskMatchPayload(Payload):
    """A memory, by id and content; the id need not be in ``memories``."""

    memory_id: MemoryId
    memory_content: FilledText


class TaskMatchAnswer(Answer):
    """``matched_task_id`` is null where no task matches."""

    matched_task_id: StrictStr | None
    confidence: Confidence
    reason: Sentence


class TaskMatch(JobType[TaskMatchPayload, TaskMatchAnswer]):
    """Without a user, or without an open task, it completes without asking the LLM."""

    name = "task_match"
    queue = "llm_task_match"
    notification = "llm_task_match_result"
    intake_stream = "llm:task_match"
    payload_model = TaskMatchPayload
    answer_model = TaskMatchAnswer

    def ask(self, payload: TaskMatchPayload, context: ReadContext) -> Ask | None:
        """Offer the user's open tasks, newest first."""
        tasks = context.open_tasks()
        if not tasks:
            return None
        texts = {"memory_content": payload.memory_content, "open_tasks": _offered(tasks)}
        return Ask(prompt=render(self.name, texts), answer=TaskMatchAnswer)

    def apply(
        self, payload: TaskMatchPayload, answer: TaskMatchAnswer | None, context: WriteContext
    ) -> dict[str, Any] | None:
        """A result only for a task that is the user's and still open, with confidence > 0.7."""
        if answer is None or answer.confidence <= CONFIDENT:
            return None
        for task in context.open_tasks():
            if task.id == answer.matched_task_id:
                return {
                    "task_id": task.id,
                    "task_description": task.description,
                    "memory_id": payload.memory_id,
                }
        return None


def _offered(tasks: Sequence[OpenTask]) -> str:
    lines = (
        {"id": task.id, "description": task.description[:_MAX_OFFERED_CHARS]} for task in tasks
    )
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)


JOB_TYPE = TaskMatch()
