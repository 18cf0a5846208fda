from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.store import calendar
from app.store.calendar import EventRow
from app.store.database import Database

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def _add(database: Database, **fields: Any) -> EventRow:
    with database.begin() as connection:
        return calendar.add(
            connection,
            **({"owner_user_id": 7, "description": "Lunch", "event_time": NOON} | fields),
        )


def _update(database: Database, event_id: str, **changes: Any) -> EventRow | None:
    with database.begin() as connection:
        return calendar.update(connection, event_id, **changes)


def test_an_event_comes_back_as_it_was_stored_pending(database: Database) -> None:
    in_kathmandu = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    added = _add(database, event_time=in_kathmandu, source_type="email", source_detail="Re: lunch?")
    with database.read() as connection:
        assert calendar.get(connection, added.id) == added
        assert calendar.get(connection, "nobody") is None
    assert (added.owner_user_id, added.description, added.status) == (7, "Lunch", "pending")
    assert (added.source_type, added.source_detail) == ("email", "Re: lunch?")
    assert added.event_time == NOON
    assert added.event_time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - added.created_at) < timedelta(minutes=1)


def test_a_time_without_an_offset_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="naive time"):
        _add(database, event_time=NOON.replace(tzinfo=None))


def test_only_what_is_given_is_changed(database: Database) -> None:
    event = _add(database)
    confirmed = _update(database, event.id, status="confirmed")
    assert confirmed == EventRow(**{**vars(event), "status": "confirmed"})
    later = NOON + timedelta(hours=1)
    moved = _update(database, event.id, description="Dinner", event_time=later)
    assert moved == EventRow(**{**vars(confirmed), "description": "Dinner", "event_time": later})
    assert _update(database, event.id) == moved


def test_an_unknown_event_cannot_be_changed(database: Database) -> None:
    assert _update(database, "nobody") is None
    assert _update(database, "nobody", status="rejected") is None


def test_a_list_is_narrowed_by_owner_and_status(database: Database) -> None:
    one, two, other = (
        _add(database),
        _add(database, status="confirmed"),
        _add(database, owner_user_id=8),
    )

    def listed(owner: int | None, status: str | None) -> list[str]:
        with database.read() as connection:
            rows = calendar.list_newest(connection, owner_user_id=owner, status=status, limit=10)
        return [row.id for row in rows]

    assert listed(None, None) == [other.id, two.id, one.id]
    assert listed(7, None) == [two.id, one.id]
    assert listed(7, "pending") == [one.id]
    assert listed(None, "confirmed") == [two.id]


def test_pages_follow_each_other_by_cursor_and_by_offset(database: Database) -> None:
    stored = [_add(database, description=str(number)) for number in range(5)]
    with database.read() as connection:
        by_offset = calendar.list_newest(
            connection, owner_user_id=7, status=None, limit=2, offset=2
        )
        last = by_offset[-1]
        by_cursor = calendar.list_newest(
            connection, owner_user_id=7, status=None, limit=2, before=(last.created_at, last.id)
        )
    assert by_offset == [stored[2], stored[1]]
    assert by_cursor == [stored[0]]
