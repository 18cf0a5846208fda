"""The validated answer and what it cost."""

from dataclasses import dataclass, fields

from pydantic import BaseModel

from app.store.rows import Usage
from workers.llm.errors import Message


@dataclass(frozen=True)
class Completion:
    """What ``LLMClient.complete`` gives back."""

    answer: BaseModel | str
    """The validated model, or the text where the ``Ask`` names no model."""
    text: str
    """The reply that was accepted, as it came."""
    model: str | None
    """The model that answered, which may not be the one that was asked."""
    usage: Usage
    """Sums over all calls, re-asks included; ``None`` where no call reported the number."""
    repaired: bool
    """The JSON had to be cut out of a longer text."""
    calls: int
    """HTTP requests that reached the server."""
    messages: list[Message]
    """What was sent last, with a placeholder for the image's data."""


def add_usage(first: Usage, second: Usage) -> Usage:
    """The sum. A number that neither has stays ``None``: unknown is not zero."""
    sums: dict[str, int | None] = {}
    for field in fields(Usage):
        known = [
            count
            for count in (getattr(first, field.name), getattr(second, field.name))
            if count is not None
        ]
        sums[field.name] = sum(known) if known else None
    return Usage(**sums)
