"""What a job type asks of the LLM: a plain value that the client in ``workers.llm`` sends."""

from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True)
class Image:
    """An image, ready to leave the machine: scaled, upright, without metadata."""

    media_type: str
    data: bytes


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt and where it came from, kept on the attempt."""

    name: str
    version: str
    sha256: str
    system: str
    user: str


@dataclass(frozen=True)
class Ask:
    """One question to the LLM.

    ``answer`` is the pydantic model that the reply must satisfy (its JSON Schema is sent), or
    ``None`` for plain text. An ``image`` selects the vision model and its time-out.
    """

    prompt: Prompt
    answer: type[BaseModel] | None
    image: Image | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
