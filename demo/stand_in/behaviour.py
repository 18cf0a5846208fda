"""How the stand-in misbehaves when told to, and what it remembers of the calls it got."""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from demo.stand_in.question import Question

_KEPT_CALLS = 10_000
_SHOWN_CHARS = 200

Mode = Literal["none", "status", "latency", "malformed", "trickle", "hang", "truncate", "refuse"]


class Misbehaviour(BaseModel):
    """What ``POST /_control`` takes. ``times``: for how many requests; ``None`` is until reset.

    ``match`` confines it to requests whose user message holds this text. ``seconds`` is the delay
    of ``latency`` and the pause between two bytes of ``trickle``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    times: Annotated[int, Field(ge=1)] | None = None
    match: str = ""
    status: Annotated[int, Field(ge=200, le=599)] = 500
    body: Any = None
    headers: dict[str, str] = {}
    seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0


NORMAL = Misbehaviour(mode="none")


@dataclass
class Behaviour:
    """The misbehaviour in force and the calls so far; shared by the server's threads."""

    _lock: Lock = field(default_factory=Lock)
    _current: Misbehaviour = NORMAL
    _left: int | None = None
    _count: int = 0
    _calls: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT_CALLS))

    def set(self, misbehaviour: Misbehaviour) -> None:
        """From now on; it replaces what was in force."""
        with self._lock:
            self._current = misbehaviour
            self._left = misbehaviour.times

    def take(self, question: Question) -> Misbehaviour:
        """How to treat this request, which is remembered."""
        with self._lock:
            chosen = self._current if self._current.match in question.user else NORMAL
            if self._left == 0:
                chosen = NORMAL
            elif chosen is self._current and self._left is not None:
                self._left -= 1
            self._count += 1
            self._calls.append(_remembered(question, chosen.mode))
            return chosen

    def calls(self) -> dict[str, Any]:
        """``{"count", "calls": […]}``, the oldest first; the last 10,000 are kept."""
        with self._lock:
            return {"count": self._count, "calls": list(self._calls)}

    def forget_calls(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._count = 0
            self._calls.clear()


def _remembered(question: Question, mode: str) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(),
        "job_type": question.job_type,
        "user": question.user[:_SHOWN_CHARS],
        "user_sha256": hashlib.sha256(question.user.encode(errors="replace")).hexdigest(),
        "has_image": question.image is not None,
        "mode": mode,
    }
