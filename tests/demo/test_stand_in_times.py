"""When something is: found in a text and resolved."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from demo.stand_in.times import find_moment, parse_now

# A Wednesday.
NOW = datetime(2026, 1, 14, 10, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pick up at 15:30", "2026-01-14T15:30:00+01:00"),
        ("I may go at 9 to Rome", "2026-01-15T09:00:00+01:00"),
        ("lunch at noon on March 3rd", "2026-03-03T12:00:00+01:00"),
        ("Thursday, 5 March 2026 at 14:00 in Berlin", "2026-03-05T14:00:00+01:00"),
        ("starts 2026-02-01T10:00:00Z sharp", "2026-02-01T10:00:00+00:00"),
        ("starts 2026-02-01 10:00 sharp", "2026-02-01T10:00:00+01:00"),
        ("in a week", "2026-01-21T09:00:00+01:00"),
        ("next week", "2026-01-21T09:00:00+01:00"),
        ("next month", "2026-02-01T09:00:00+01:00"),
        ("tonight", "2026-01-14T20:00:00+01:00"),
        ("the day after tomorrow at 8", "2026-01-16T08:00:00+01:00"),
        ("tomorrow at 12 am", "2026-01-15T00:00:00+01:00"),
        ("tomorrow at 12 p.m.", "2026-01-15T12:00:00+01:00"),
        ("tomorrow in the evening", "2026-01-15T19:00:00+01:00"),
        ("tomorrow at 25:00", "2026-01-15T09:00:00+01:00"),
        ("at 25:00", None),
        ("2026-13-45T10:00", None),
        ("on 2026-02-31", None),
        ("I may marry in March", None),
        ("nothing", None),
    ],
)
def test_a_moment_is_found_and_resolved(text: str, expected: str | None) -> None:
    moment = find_moment(text, NOW)
    assert (moment.at.isoformat() if moment else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-14T10:00:00+01:00", NOW),
        ("2026-01-14T10:00:00", NOW.replace(tzinfo=UTC)),
    ],
)
def test_the_time_of_writing_has_an_offset(text: str, expected: datetime) -> None:
    assert parse_now(text) == expected


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_without_a_time_of_writing_it_is_now(text: str | None) -> None:
    assert abs((parse_now(text) - datetime.now(UTC)).total_seconds()) < 5
