from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.job_types.email_extract import (
    JOB_TYPE,
    EmailExtractAnswer,
    EmailExtractPayload,
)

PAYLOAD = EmailExtractPayload(subject="Lunch", body="Friday at noon?")


def _event(
    description: str = "Lunch", event_time: str = "2026-03-06T12:00:00Z", confidence: float = 0.9
) -> dict[str, Any]:
    return {"description": description, "event_time": event_time, "confidence": confidence}


def _answer(*events: dict[str, Any]) -> EmailExtractAnswer:
    return EmailExtractAnswer.model_validate({"events": list(events)})


def test_the_llm_is_told_when_the_job_was_submitted(reading: Any, section: Any) -> None:
    prompt = JOB_TYPE.ask(PAYLOAD, reading()).prompt
    assert section(prompt.user, "now") == "2026-03-04T12:00:00+00:00"
    assert section(prompt.user, "weekday") == "Wednesday"


def test_each_confident_event_is_stored_and_the_first_is_the_result(writing: Any) -> None:
    context = writing()
    answer = _answer(
        _event("Unsure", confidence=0.7),
        _event("Lunch", "2026-03-06T13:00:00+01:00"),
        _event("Call", "2026-03-09T08:00:00Z", 0.71),
    )
    result = JOB_TYPE.apply(PAYLOAD, answer, context)
    assert result == {"description": "Lunch", "event_date": "2026-03-06T13:00:00+01:00"}
    assert context.events == [
        ("Lunch", datetime(2026, 3, 6, 12, tzinfo=UTC), "email", "Lunch"),
        ("Call", datetime(2026, 3, 9, 8, tzinfo=UTC), "email", "Lunch"),
    ]


def test_the_same_event_twice_is_stored_once(writing: Any) -> None:
    context = writing()
    again = _event(event_time="2026-03-06T13:00:00+01:00")
    JOB_TYPE.apply(PAYLOAD, _answer(_event(), again), context)
    assert len(context.events) == 1


@pytest.mark.parametrize("events", [[], [_event(confidence=0.7), _event(confidence=0.1)]])
def test_without_a_confident_event_there_is_no_result(
    events: list[dict[str, Any]], writing: Any
) -> None:
    context = writing()
    assert JOB_TYPE.apply(PAYLOAD, _answer(*events), context) is None
    assert context.events == []


def test_without_a_user_the_result_is_the_same_and_nothing_is_stored(writing: Any) -> None:
    context = writing(user_id=None)
    result = JOB_TYPE.apply(PAYLOAD, _answer(_event()), context)
    assert result == {"description": "Lunch", "event_date": "2026-03-06T12:00:00+00:00"}
    assert context.events == []


def test_a_time_without_an_offset_is_in_utc(writing: Any) -> None:
    context = writing()
    result = JOB_TYPE.apply(PAYLOAD, _answer(_event(event_time="2026-03-06T12:00")), context)
    assert result is not None
    assert result["event_date"] == "2026-03-06T12:00:00+00:00"


@pytest.mark.parametrize(
    "time",
    ["", "Friday", "12:00", "2026-02-30T12:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31", None,
     1772798400, "2026-W10-5", "+12026-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_is_none_makes_the_answer_invalid(time: Any, complaints: Any) -> None:
    said = complaints(EmailExtractAnswer, {"events": [_event() | {"event_time": time}]})
    assert said.startswith("events.0.event_time: ")


def test_more_than_fifty_events_are_not_believed(complaints: Any) -> None:
    said = complaints(EmailExtractAnswer, {"events": [_event()] * 51})
    assert "at most 50 items" in said


@pytest.mark.parametrize(("subject", "body"), [("Lunch", ""), ("", "At noon"), ("  ", "At noon")])
def test_a_subject_or_a_body_is_enough(subject: str, body: str) -> None:
    assert EmailExtractPayload(subject=subject, body=body)


@pytest.mark.parametrize(("subject", "body"), [("", ""), (" ", "\n")])
def test_an_empty_email_is_refused(subject: str, body: str, complaints: Any) -> None:
    assert "both blank" in complaints(EmailExtractPayload, {"subject": subject, "body": body})


@pytest.mark.parametrize("missing", ["subject", "body"])
def test_subject_and_body_are_both_given(missing: str, complaints: Any) -> None:
    given = {"subject": "a", "body": "b"}
    del given[missing]
    assert complaints(EmailExtractPayload, given) == f"{missing}: Field required"


def test_offsets_are_kept_in_the_result(writing: Any) -> None:
    nepal = timezone(timedelta(hours=5, minutes=45))
    context = writing()
    JOB_TYPE.apply(PAYLOAD, _answer(_event(event_time="2026-03-06T09:00:00+05:45")), context)
    assert context.events[0][1] == datetime(2026, 3, 6, 9, tzinfo=nepal)
