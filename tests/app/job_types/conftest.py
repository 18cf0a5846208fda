"""Contexts for job types, which are pure: what they read is given, what they write is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from app.jobs.ask import Image
from app.jobs.context import FoundMemory, OpenTask

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@dataclass
class FakeReadContext:
    user_id: int | None = 7
    submitted_at: datetime = NOW
    tasks: Sequence[OpenTask] = ()
    image: Image = field(default_factory=lambda: Image("image/jpeg", b"picture"))
    images_asked_for: list[str] = field(default_factory=list)

    def open_tasks(self) -> Sequence[OpenTask]:
        return self.tasks

    def load_image(self, image_path: str) -> Image:
        self.images_asked_for.append(image_path)
        return self.image


@dataclass
class FakeWriteContext:
    user_id: int | None = 7
    now: datetime = NOW
    tasks: Sequence[OpenTask] = ()
    memories: Sequence[FoundMemory] = ()
    searched: list[str] = field(default_factory=list)
    tags: dict[str, list[str]] = field(default_factory=dict)
    events: list[tuple[str, datetime, str, str]] = field(default_factory=list)

    def open_tasks(self) -> Sequence[OpenTask]:
        return self.tasks

    def search_memories(self, query: str, limit: int = 10) -> Sequence[FoundMemory]:
        self.searched.append(query)
        return self.memories[:limit]

    def suggest_tags(self, memory_id: str, tags: Sequence[str]) -> None:
        self.tags.setdefault(memory_id, []).extend(tags)

    def add_pending_event(
        self, description: str, event_time: datetime, source_type: str, source_detail: str
    ) -> str:
        self.events.append((description, event_time, source_type, source_detail))
        return f"event-{len(self.events)}"


@pytest.fixture
def reading() -> Callable[..., FakeReadContext]:
    """Makes a ``ReadContext``; by default user 7's, submitted on Wednesday 2026-03-04 at noon."""
    return FakeReadContext


@pytest.fixture
def writing() -> Callable[..., FakeWriteContext]:
    """Makes a ``WriteContext``; by default user 7's, at the same noon."""
    return FakeWriteContext


@pytest.fixture
def section() -> Callable[[str, str], str]:
    """Cuts a section out of a prompt's user message, as a reader who trusts the tags would."""

    def cut(user_message: str, name: str) -> str:
        opening, closing = f"<{name}>\n", f"\n</{name}>"
        assert user_message.count(opening) == 1, f"<{name}> is there once"
        assert user_message.count(closing) == 1, f"</{name}> is there once"
        return user_message.partition(opening)[2].partition(closing)[0]

    return cut


@pytest.fixture
def complaints() -> Callable[..., str]:
    """What a model says to a wrong value; fails when it finds nothing wrong."""
    from pydantic import BaseModel, ValidationError

    def complain(model: type[BaseModel], value: dict[str, Any]) -> str:
        with pytest.raises(ValidationError) as caught:
            model.model_validate(value)
        return "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in caught.value.errors()
        )

    return complain
