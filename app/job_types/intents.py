"""The answers of ``intent_classify``: one shape per intent, told apart by ``intent``."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from app.job_types.fields import OptionalMoment, OptionalSentence, Sentence
from app.jobs.job_type import Answer
from app.jobs.tags import MAX_TAG_CHARS, normal_tags

_CLEAR_INTENTS = ("reminder", "task", "search", "general_note")
_MAX_WORDS = 20


def _words(words: list[str]) -> list[str]:
    cleaned = [" ".join(word.replace("\0", "").split()) for word in words]
    return [word[:MAX_TAG_CHARS] for word in dict.fromkeys(cleaned) if word][:_MAX_WORDS]


def _some_words(words: list[str]) -> list[str]:
    if not (words := _words(words)):
        raise ValueError("must hold at least one word to search for")
    return words


def _tags(tags: list[str]) -> list[str]:
    return [tag for tag in normal_tags(tags) if len(tag) <= MAX_TAG_CHARS][:_MAX_WORDS]


def _none_is_empty(value: object) -> object:
    return [] if value is None else value


def _known_intents(value: object) -> object:
    if not isinstance(value, list):
        return [] if value is None else value
    return [intent for intent in _CLEAR_INTENTS if intent in value]


class Intent(Answer):
    """What all have in common. ``moment_field`` names the field that holds a resolved time."""

    moment_field: ClassVar[str | None] = None


class Reminder(Intent):
    """To be reminded; ``time`` are the words that say when."""

    moment_field = "resolved_time"
    intent: Literal["reminder"]
    action: Sentence
    time: OptionalSentence = None
    resolved_time: OptionalMoment = None


class Task(Intent):
    """Something to do; ``due_time`` are the words that say by when."""

    moment_field = "resolved_due_time"
    intent: Literal["task"]
    description: Sentence
    due_time: OptionalSentence = None
    resolved_due_time: OptionalMoment = None


class Search(Intent):
    """To find something noted earlier."""

    intent: Literal["search"]
    keywords: Annotated[list[str], AfterValidator(_some_words)]


class GeneralNote(Intent):
    """Something to keep."""

    intent: Literal["general_note"]
    suggested_tags: Annotated[
        list[str],
        BeforeValidator(_none_is_empty),
        AfterValidator(_tags),
        Field(default_factory=list),
    ]


class Ambiguous(Intent):
    """It cannot be told; intents that do not exist are left out of ``possible_intents``."""

    intent: Literal["ambiguous"]
    followup_question: Sentence
    possible_intents: Annotated[
        list[str],
        BeforeValidator(_known_intents),
        WithJsonSchema(
            {"type": "array", "items": {"type": "string", "enum": list(_CLEAR_INTENTS)}}
        ),
        Field(default_factory=list),
    ]


_SHAPES: tuple[type[Intent], ...] = (Reminder, Task, Search, GeneralNote, Ambiguous)


class IntentAnswer(
    RootModel[
        Annotated[Reminder | Task | Search | GeneralNote | Ambiguous, Field(discriminator="intent")]
    ]
):
    """One of the intents, flat: ``{"intent": …, …its fields}``; fields of others are dropped."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls,
        core_schema: CoreSchema,
        handler: GetJsonSchemaHandler,
        /,
    ) -> dict[str, Any]:
        """One object with the fields of every intent, null where they do not apply.

        Servers that enforce a schema want an object at its root and know no ``oneOf``.
        """
        fields: dict[str, Any] = {}
        for shape in _SHAPES:
            fields |= shape.model_json_schema()["properties"]
        properties = {name: _nullable(schema) for name, schema in fields.items()}
        intents = [*_CLEAR_INTENTS, "ambiguous"]
        properties["intent"] = {"type": "string", "enum": intents}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = {name: value for name, value in schema.items() if name not in ("default", "title")}
    return kind if "anyOf" in kind else {"anyOf": [kind, {"type": "null"}]}
