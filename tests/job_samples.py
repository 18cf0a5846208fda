"""One sample of each job type: a payload, an answer as the LLM writes it, and the result."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    payload: dict[str, Any]
    texts: dict[str, str]
    """The payload's free texts and the section of the prompt that each belongs in."""
    answer: Any
    result: dict[str, Any] | None


SAMPLES = {
    "image_tag": Sample(
        payload={"memory_id": "m1", "image_path": "cats/tom.jpg"},
        texts={},
        answer={"description": "A cat on a wall.", "tags": ["Cat", "wall"]},
        result={"memory_id": "m1", "tags": ["cat", "wall"], "description": "A cat on a wall."},
    ),
    "intent_classify": Sample(
        payload={"query": "where is the passport"},
        texts={"query": "query"},
        answer={"intent": "search", "keywords": ["passport"]},
        result={
            "query": "where is the passport",
            "intent": "search",
            "memory_id": None,
            "results": [],
            "keywords": ["passport"],
        },
    ),
    "followup": Sample(
        payload={"message": "remind me", "context": "on the train"},
        texts={"message": "message", "context": "context"},
        answer="When should I remind you?",
        result={"question": "When should I remind you?"},
    ),
    "task_match": Sample(
        payload={"memory_id": "m1", "memory_content": "Called Dr. Woo"},
        texts={"memory_content": "memory_content"},
        answer={"matched_task_id": "task-1", "confidence": 0.9, "reason": "The dentist."},
        result={"task_id": "task-1", "task_description": "Call the dentist", "memory_id": "m1"},
    ),
    "email_extract": Sample(
        payload={"subject": "Lunch", "body": "Friday at noon?"},
        texts={"subject": "subject", "body": "body"},
        answer={
            "events": [
                {"description": "Lunch", "event_time": "2026-03-06T12:00:00Z", "confidence": 0.9}
            ]
        },
        result={"description": "Lunch", "event_date": "2026-03-06T12:00:00+00:00"},
    ),
}
