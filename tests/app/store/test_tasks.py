from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from app.jobs.context import OpenTask
from app.store import tasks
from app.store.database import Database
from app.store.tasks import TaskRow

DUE = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def _add(database: Database, description: str = "Buy milk", owner: int = 7) -> TaskRow:
    with database.begin() as connection:
        return tasks.add(connection, owner_user_id=owner, description=description)


def _update(database: Database, task_id: str, **changes: Any) -> TaskRow | None:
    with database.begin() as connection:
        return tasks.update(connection, task_id, **changes)


def test_a_task_comes_back_as_it_was_stored_not_done(database: Database) -> None:
    due = DUE.astimezone(timezone(timedelta(hours=-5)))
    with database.begin() as connection:
        added = tasks.add(connection, owner_user_id=7, description="Buy milk", due_at=due)
    with database.read() as connection:
        assert tasks.get(connection, added.id) == added
        assert tasks.get(connection, "nobody") is None
    assert (added.owner_user_id, added.description, added.state) == (7, "Buy milk", "NOT_DONE")
    assert added.due_at == DUE
    assert abs(datetime.now(UTC) - added.created_at) < timedelta(minutes=1)


def test_a_task_need_not_be_due(database: Database) -> None:
    assert _add(database).due_at is None


def test_only_what_is_given_is_changed(database: Database) -> None:
    task = _add(database)
    done = _update(database, task.id, state="DONE")
    assert done == TaskRow(**{**vars(task), "state": "DONE"})
    renamed = _update(database, task.id, description="Buy oat milk", due_at=DUE)
    assert renamed == TaskRow(**{**vars(done), "description": "Buy oat milk", "due_at": DUE})
    assert _update(database, task.id) == renamed
    cleared = _update(database, task.id, due_at=None)
    assert cleared == TaskRow(**{**vars(renamed), "due_at": None})


def test_an_unknown_task_cannot_be_changed(database: Database) -> None:
    assert _update(database, "nobody") is None
    assert _update(database, "nobody", state="DONE") is None


def test_a_list_is_narrowed_by_owner_and_state(database: Database) -> None:
    one, two, other = _add(database), _add(database), _add(database, owner=8)
    _update(database, one.id, state="DONE")

    def listed(owner: int | None, state: str | None) -> list[str]:
        with database.read() as connection:
            rows = tasks.list_newest(connection, owner_user_id=owner, state=state, limit=10)
        return [row.id for row in rows]

    assert listed(None, None) == [other.id, two.id, one.id]
    assert listed(7, None) == [two.id, one.id]
    assert listed(7, "NOT_DONE") == [two.id]
    assert listed(None, "DONE") == [one.id]
    assert listed(9, None) == []


def test_pages_follow_each_other_by_cursor_and_by_offset(database: Database) -> None:
    stored = [_add(database, str(number)) for number in range(5)]
    with database.read() as connection:
        by_offset = tasks.list_newest(
            connection, owner_user_id=7, state=None, limit=2, offset=2, before=None
        )
        last = by_offset[-1]
        by_cursor = tasks.list_newest(
            connection, owner_user_id=7, state=None, limit=2, before=(last.created_at, last.id)
        )
    assert by_offset == [stored[2], stored[1]]
    assert by_cursor == [stored[0]]


def test_open_tasks_are_the_users_newest_that_are_not_done(database: Database) -> None:
    stored = [_add(database, f"task {number}") for number in range(4)]
    _add(database, owner=8)
    _update(database, stored[2].id, state="DONE")
    with database.read() as connection:
        assert tasks.open_for(connection, 7) == [
            OpenTask(stored[3].id, "task 3"),
            OpenTask(stored[1].id, "task 1"),
            OpenTask(stored[0].id, "task 0"),
        ]
        assert len(tasks.open_for(connection, 7, limit=2)) == 2
        assert tasks.open_for(connection, 9) == []
