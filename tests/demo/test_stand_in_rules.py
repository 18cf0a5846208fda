"""The stand-in's answers: by rules, from the real input, for each job type."""

import io
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image as Pillow

from app.job_types.registry import all_job_types
from app.jobs.ask import Image
from app.jobs.context import OpenTask
from demo.stand_in_llm import StandIn
from workers.llm import LLMClient, LLMRejected, LLMSettings

# A Wednesday.
NOW = datetime(2026, 1, 14, 10, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture(scope="module")
def stand_in() -> Any:
    with StandIn() as server:
        yield server


@pytest.fixture
def asks(stand_in: StandIn) -> Any:
    """Asks the stand-in the real question of a job type, over HTTP."""
    client = LLMClient(LLMSettings(stand_in.url, "any", timeout_s=20, vision_timeout_s=20))

    def ask(name: str, image: bytes = b"", tasks: Any = (), **payload: Any) -> Any:
        job_type = all_job_types()[name]
        context = SimpleNamespace(
            user_id=1,
            submitted_at=NOW,
            open_tasks=lambda: list(tasks),
            load_image=lambda _path: Image("image/png", image),
        )
        question = job_type.ask(job_type.payload_model.model_validate(payload), context)
        assert question is not None
        return client.complete(question).answer

    yield ask
    client.close()


def picture(colour: Any, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("query", "action", "time", "resolved"),
    [
        (
            "remind me to call the dentist tomorrow at 9",
            "call the dentist",
            "tomorrow at 9",
            "2026-01-15T09:00:00+01:00",
        ),
        (
            "Please remind me on Friday at 15:30 about the rehearsal",
            "the rehearsal",
            "on Friday at 15:30",
            "2026-01-16T15:30:00+01:00",
        ),
        ("remind me in 2 hours: oven", "oven", "in 2 hours", "2026-01-14T12:00:00+01:00"),
        ("set a reminder to water the plants", "water the plants", None, None),
    ],
)
def test_a_reminder_has_its_action_and_its_resolved_time(
    asks: Any, query: str, action: str, time: str | None, resolved: str | None
) -> None:
    found = asks("intent_classify", query=query).root
    assert found.intent == "reminder"
    assert (found.action, found.time, found.resolved_time) == (action, time, resolved)


def test_times_count_from_the_original_timestamp(asks: Any) -> None:
    found = asks(
        "intent_classify",
        query="remind me to pay rent tomorrow at 8",
        original_timestamp="2030-06-30T23:00:00-05:00",
    ).root
    assert found.resolved_time == "2030-07-01T08:00:00-05:00"


@pytest.mark.parametrize(
    ("query", "intent", "field", "value"),
    [
        ("buy milk", "task", "description", "buy milk"),
        ("todo: finish the report by friday", "task", "description", "finish the report"),
        (
            "todo: finish the report by friday",
            "task",
            "resolved_due_time",
            "2026-01-16T09:00:00+01:00",
        ),
        ("where is my passport?", "search", "keywords", ["passport"]),
        ("search for the wine notes", "search", "keywords", ["wine", "notes"]),
        ("find it", "search", "keywords", ["find it"]),
        (
            "The lake was lovely in the snow",
            "general_note",
            "suggested_tags",
            ["lake", "lovely", "snow"],
        ),
        ("that thing", "ambiguous", "followup_question", "What would you like to do about “this”?"),
        (
            "maybe the old boat or something",
            "ambiguous",
            "possible_intents",
            ["reminder", "task", "general_note"],
        ),
    ],
)
def test_keywords_tell_the_intent(
    asks: Any, query: str, intent: str, field: str, value: Any
) -> None:
    for name in ("query", "message"):
        found = asks("intent_classify", **{name: query}).root
        assert found.intent == intent
        assert getattr(found, field) == value


@pytest.mark.parametrize(
    ("reply", "intent"),
    [
        ("remind me on friday", "reminder"),
        ("just keep it as a note", "general_note"),
        ("it is something to buy", "task"),
    ],
)
def test_a_users_answer_settles_what_was_ambiguous(asks: Any, reply: str, intent: str) -> None:
    context = {"followup_question": "What about it?", "user_answer": reply}
    found = asks("intent_classify", message="the boat", followup_context=context).root
    assert found.intent == intent


TASKS = [
    OpenTask("t1", "Call the dentist and make an appointment"),
    OpenTask("t2", "Repair the front light of the bicycle"),
    OpenTask("t3", "the"),
]


@pytest.mark.parametrize(
    ("content", "task_id"),
    [
        ("I called the dentist and have an appointment now", "t1"),
        ("Repaired the bicycle's front light", "t2"),
        ("We ate pie at the lake", None),
        ("The front door is open", None),
    ],
)
def test_the_task_that_shares_its_words_matches(
    asks: Any, content: str, task_id: str | None
) -> None:
    found = asks("task_match", tasks=TASKS, memory_id="m", memory_content=content)
    assert found.matched_task_id == task_id
    assert found.reason
    if task_id:
        assert found.confidence > 0.7


def test_events_are_the_sentences_that_say_when(asks: Any) -> None:
    body = (
        "Dear all,\n\nthe concert is on March 3rd at 7 pm in the\nold church. Bring a friend! "
        "The rehearsal was on 2026-01-10.\n\n- Tickets until next Friday\n- No dogs\n\nYours"
    )
    events = asks("email_extract", subject="Choir", body=body).events
    assert [(event.event_time, event.confidence) for event in events] == [
        ("2026-03-03T19:00:00+01:00", 0.9),
        ("2026-01-16T09:00:00+01:00", 0.8),
        ("2026-01-10T09:00:00+01:00", 0.3),
    ]
    assert events[0].description == "the concert is on March 3rd at 7 pm in the old church."


@pytest.mark.parametrize("body", ["Hello, how are you?", "", "Room 12, version 3.1"])
def test_an_email_without_a_date_has_no_events(asks: Any, body: str) -> None:
    assert asks("email_extract", subject="Hi", body=body).events == []


def test_a_date_in_the_subject_counts_once(asks: Any) -> None:
    events = asks("email_extract", subject="Party on 2026-05-01", body="See you on 1 May!").events
    assert [event.event_time for event in events] == ["2026-05-01T09:00:00+01:00"]


@pytest.mark.parametrize(
    ("colour", "size", "tags"),
    [
        ("blue", (400, 300), {"blue", "landscape", "dark", "medium image"}),
        ("white", (100, 200), {"white", "portrait", "bright", "small image"}),
        ("red", (1200, 1200), {"red", "square", "dark", "large image"}),
        ((120, 70, 20), (10, 10), {"brown", "square"}),
        ((250, 160, 20), (10, 10), {"orange"}),
        ("black", (10, 10), {"black", "dark"}),
        ((128, 128, 128), (10, 10), {"grey"}),
    ],
)
def test_an_image_is_described_by_what_can_be_measured(
    asks: Any, colour: Any, size: tuple[int, int], tags: set[str]
) -> None:
    found = asks("image_tag", image=picture(colour, size), memory_id="m", image_path="x.png")
    assert tags <= set(found.tags)
    assert f"{size[0]} by {size[1]} pixels" in found.description


def test_colours_are_named_the_largest_first(asks: Any) -> None:
    image = Pillow.new("RGB", (100, 100), "green")
    image.paste("yellow", (0, 0, 30, 100))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    found = asks("image_tag", image=buffer.getvalue(), memory_id="m", image_path="x.png")
    assert found.tags[:2] == ["green", "yellow"]


def test_noise_of_many_colours_still_has_one() -> None:
    image = Pillow.effect_noise((64, 64), 0).convert("RGB")
    pixels = [(i * 37 % 256, i * 91 % 256, i * 151 % 256) for i in range(64 * 64)]
    image.putdata(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    from demo.stand_in.pictures import describe

    assert 1 <= len(describe(buffer.getvalue())["tags"]) <= 7


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"text"])
def test_what_is_no_image_is_rejected(asks: Any, data: bytes) -> None:
    with pytest.raises(LLMRejected, match="cannot be decoded"):
        asks("image_tag", image=data, memory_id="m", image_path="x.png")


@pytest.mark.parametrize(
    ("message", "context", "question"),
    [
        ("The trip to Lisbon", None, "When does “trip to Lisbon” have to happen?"),
        ("The trip to Lisbon on 3 May", None, "What exactly should I do about “trip to Lisbon”?"),
        ("The trip", "It is on 3 May.", "What exactly should I do about “trip”?"),
        ("it", None, "When does “this” have to happen?"),
    ],
)
def test_a_follow_up_asks_for_what_is_open(
    asks: Any, message: str, context: str | None, question: str
) -> None:
    assert asks("followup", message=message, context=context) == question
