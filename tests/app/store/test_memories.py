import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.store import memories
from app.store.database import Database
from app.store.memories import MemoryRow, TagRow
from app.store.user_tables import memory_tags


def _add(database: Database, content: str = "Hello", owner: int = 7) -> MemoryRow:
    with database.begin() as connection:
        return memories.add(connection, owner_user_id=owner, content=content)


def _tags(database: Database, memory_id: str) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [(row.tag, row.status) for row in memories.tags(connection, memory_id)]


def test_a_memory_comes_back_as_it_was_stored(database: Database) -> None:
    content = "Zeile 1\n漢字 🎉 'quoted' \"too\" \\ %s"
    with database.begin() as connection:
        added = memories.add(
            connection,
            owner_user_id=2**63 - 1,
            content=content,
            media_type="image/png",
            image_path="a/b.png",
        )
    with database.read() as connection:
        assert memories.get(connection, added.id) == added
    assert (added.owner_user_id, added.content) == (2**63 - 1, content)
    assert (added.media_type, added.image_path) == ("image/png", "a/b.png")
    assert abs(datetime.now(UTC) - added.created_at) < timedelta(minutes=1)
    assert added.tags == ()


def test_an_unknown_memory_is_none_and_has_no_tags(database: Database) -> None:
    with database.read() as connection:
        assert memories.get(connection, "nobody") is None
        assert memories.tags(connection, "nobody") == []


def test_memories_are_listed_newest_first_with_their_tags(database: Database) -> None:
    first, second, third = (_add(database, text) for text in ("one", "two", "three"))
    with database.begin() as connection:
        memories.suggest_tags(connection, first.id, ["z", "a"])
        memories.suggest_tags(connection, third.id, ["b"])
    with database.read() as connection:
        listed = memories.list_newest(connection, owner_user_id=7, limit=10)
    assert [(row.id, [tag.tag for tag in row.tags]) for row in listed] == [
        (third.id, ["b"]),
        (second.id, []),
        (first.id, ["z", "a"]),
    ]


def test_a_list_holds_the_owners_memories_or_everybodys(database: Database) -> None:
    mine, other = _add(database, owner=7), _add(database, owner=8)
    with database.read() as connection:
        own = memories.list_newest(connection, owner_user_id=7, limit=10)
        everything = memories.list_newest(connection, owner_user_id=None, limit=10)
        nothing = memories.list_newest(connection, owner_user_id=9, limit=10)
    assert [row.id for row in own] == [mine.id]
    assert [row.id for row in everything] == [other.id, mine.id]
    assert nothing == []


def test_pages_by_cursor_miss_and_repeat_nothing_while_memories_are_added(
    database: Database,
) -> None:
    # All in one transaction: on PostgreSQL and SQLite many of them share a millisecond.
    with database.begin() as connection:
        stored = [
            memories.add(connection, owner_user_id=7, content=str(number)).id
            for number in range(25)
        ]
    seen: list[str] = []
    before = None
    for _ in range(4):
        with database.read() as connection:
            page = memories.list_newest(connection, owner_user_id=7, limit=10, before=before)
        seen += [row.id for row in page]
        before = (page[-1].created_at, page[-1].id) if page else before
        _add(database, "newer than the cursor")
    assert seen == stored[::-1]


def test_pages_by_offset_follow_each_other(database: Database) -> None:
    stored = [_add(database, str(number)).id for number in range(5)]
    with database.read() as connection:
        pages = [
            memories.list_newest(connection, owner_user_id=7, limit=2, offset=offset)
            for offset in (0, 2, 4, 6)
        ]
    assert [[row.id for row in page] for page in pages] == [
        [stored[4], stored[3]],
        [stored[2], stored[1]],
        [stored[0]],
        [],
    ]


def test_suggesting_again_adds_none_twice_and_keeps_every_status(database: Database) -> None:
    memory = _add(database)
    with database.begin() as connection:
        memories.suggest_tags(connection, memory.id, ["cat", "wall", "sun"])
        memories.put_tags(connection, memory.id, ["cat"], "confirmed")
        memories.put_tags(connection, memory.id, ["wall"], "rejected")
    for _ in range(2):
        with database.begin() as connection:
            memories.suggest_tags(connection, memory.id, ["Wall", "CAT", "moon", "sun"])
    assert _tags(database, memory.id) == [
        ("cat", "confirmed"),
        ("wall", "rejected"),
        ("sun", "suggested"),
        ("moon", "suggested"),
    ]


def test_putting_tags_adds_them_or_sets_their_status(database: Database) -> None:
    memory = _add(database)
    with database.begin() as connection:
        memories.suggest_tags(connection, memory.id, ["cat", "wall"])
        returned = memories.put_tags(connection, memory.id, ["wall", "Sun", "sun "], "confirmed")
    assert returned == [
        TagRow("cat", "suggested"),
        TagRow("wall", "confirmed"),
        TagRow("sun", "confirmed"),
    ]
    assert _tags(database, memory.id) == [(row.tag, row.status) for row in returned]


def test_blank_tags_are_not_stored(database: Database) -> None:
    memory = _add(database)
    with database.begin() as connection:
        assert memories.put_tags(connection, memory.id, ["", "  "], "confirmed") == []
        memories.suggest_tags(connection, memory.id, [])
    assert _tags(database, memory.id) == []


def test_an_unknown_status_is_refused(database: Database) -> None:
    with database.begin() as connection, pytest.raises(ValueError, match="suggested, confirmed"):
        memories.put_tags(connection, "m", ["x"], "maybe")


def test_a_memory_of_another_program_can_be_tagged(database: Database) -> None:
    with database.begin() as connection:
        memories.suggest_tags(connection, "theirs-1", ["cat"])
    assert _tags(database, "theirs-1") == [("cat", "suggested")]


def test_two_writers_at_once_store_each_tag_once(database: Database) -> None:
    memory = _add(database)
    together = threading.Barrier(2)
    errors: list[BaseException] = []

    def suggest(own: str) -> None:
        try:
            for number in range(10):
                together.wait(timeout=30)
                with database.begin() as connection:
                    tags = [f"shared {number}", f"{own} {number}"]
                    memories.suggest_tags(connection, memory.id, tags)
        except BaseException as error:
            errors.append(error)
            together.abort()
            raise

    writers = [threading.Thread(target=suggest, args=(own,)) for own in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    with database.read() as connection:
        count = connection.execute(select(func.count()).select_from(memory_tags)).scalar_one()
    assert count == 30
