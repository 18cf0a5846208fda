from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow

from app.jobs.context import FoundMemory, OpenTask
from app.jobs.job_type import JobRejected
from app.store import calendar, memories, tasks
from app.store.contexts import SqlReadContext, SqlWriteContext, title_of
from app.store.database import Database

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def _reading(database: Database, image_dir: Path, user_id: int | None = 7) -> SqlReadContext:
    return SqlReadContext(database, user_id, NOON, image_dir)


def test_a_question_may_read_the_users_open_tasks(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        task = tasks.add(connection, owner_user_id=7, description="Buy milk")
        tasks.add(connection, owner_user_id=8, description="Theirs")
    context = _reading(database, tmp_path)
    assert context.open_tasks() == [OpenTask(task.id, "Buy milk")]
    assert (context.user_id, context.submitted_at) == (7, NOON)


def test_without_a_user_there_are_no_tasks(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        tasks.add(connection, owner_user_id=7, description="Buy milk")
        assert SqlWriteContext(connection, None).open_tasks() == []
    assert _reading(database, tmp_path, user_id=None).open_tasks() == []


def test_no_transaction_stays_open_behind_a_question(
    sqlite_database: Database, tmp_path: Path
) -> None:
    _reading(sqlite_database, tmp_path).open_tasks()
    assert sqlite_database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool has it


def test_a_question_may_load_an_image(sqlite_database: Database, tmp_path: Path) -> None:
    buffer = BytesIO()
    Pillow.new("RGB", (4, 4), "red").save(buffer, "PNG")
    (tmp_path / "red.png").write_bytes(buffer.getvalue())
    context = _reading(sqlite_database, tmp_path)
    assert context.load_image("red.png").media_type == "image/jpeg"
    with pytest.raises(JobRejected, match="no such file"):
        context.load_image("blue.png")


def test_now_is_the_databases_clock(database: Database) -> None:
    with database.shifted(86_400).begin() as connection:
        now = SqlWriteContext(connection, 7).now
    assert abs(datetime.now(UTC) + timedelta(days=1) - now) < timedelta(minutes=1)


def test_a_task_done_in_the_meantime_is_no_longer_open(database: Database) -> None:
    with database.begin() as connection:
        kept = tasks.add(connection, owner_user_id=7, description="Buy milk")
        done = tasks.add(connection, owner_user_id=7, description="Call the dentist")
        tasks.update(connection, done.id, state="DONE")
        assert SqlWriteContext(connection, 7).open_tasks() == [OpenTask(kept.id, "Buy milk")]


def test_the_users_memories_are_searched(database: Database) -> None:
    with database.begin() as connection:
        mine = memories.add(connection, owner_user_id=7, content="\n Passport \nin the drawer")
        memories.add(connection, owner_user_id=8, content="Passport")
        context = SqlWriteContext(connection, 7)
        assert context.search_memories("passport") == [FoundMemory(mine.id, "Passport")]
        memories.add(connection, owner_user_id=7, content="Passport again")
        assert len(context.search_memories("passport", limit=1)) == 1
        assert SqlWriteContext(connection, None).search_memories("passport") == []


def test_tags_are_suggested(database: Database) -> None:
    with database.begin() as connection:
        SqlWriteContext(connection, 7).suggest_tags("m1", ["cat"])
        assert [tag.status for tag in memories.tags(connection, "m1")] == ["suggested"]


def test_a_pending_event_of_the_user_is_stored(database: Database) -> None:
    with database.begin() as connection:
        event_id = SqlWriteContext(connection, 7).add_pending_event(
            "Lunch", NOON, "email", "Re: lunch?"
        )
        event = calendar.get(connection, event_id)
    assert event is not None
    assert (event.owner_user_id, event.status, event.event_time) == (7, "pending", NOON)
    assert (event.source_type, event.source_detail) == ("email", "Re: lunch?")


def test_an_event_without_a_user_is_refused(database: Database) -> None:
    with database.begin() as connection, pytest.raises(ValueError, match="needs an owner"):
        SqlWriteContext(connection, None).add_pending_event("Lunch", NOON, "email", "Re: lunch?")


def test_what_apply_wrote_goes_with_its_transaction(database: Database) -> None:
    def write_and_fail() -> None:
        with database.begin() as connection:
            context = SqlWriteContext(connection, 7)
            context.suggest_tags("m1", ["cat"])
            written.append(context.add_pending_event("Lunch", NOON, "email", "Re: lunch?"))
            raise RuntimeError("fenced off")

    written: list[str] = []
    with pytest.raises(RuntimeError):
        write_and_fail()
    (event_id,) = written
    with database.read() as connection:
        assert memories.tags(connection, "m1") == []
        assert calendar.get(connection, event_id) is None


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Passport", "Passport"),
        ("\n  \n First \n Second", "First"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_a_title_is_the_first_line_at_most_80_characters(content: str, title: str) -> None:
    assert title_of(content) == title
