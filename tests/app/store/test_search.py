from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from app.store import memories
from app.store.database import Database
from app.store.search import MAX_QUERY_WORDS, search
from app.store.user_tables import memories as memories_table
from app.store.user_tables import memory_words
from app.store.words import words_of


def _add(database: Database, content: str, *tags: str, owner: int = 7) -> str:
    with database.begin() as connection:
        memory = memories.add(connection, owner_user_id=owner, content=content)
        memories.suggest_tags(connection, memory.id, tags)
    return memory.id


def _found(
    database: Database, query: str, owner: int | None = 7, limit: int = 10
) -> list[tuple[str, float]]:
    with database.read() as connection:
        hits = search(connection, owner_user_id=owner, query=query, limit=limit)
    return [(hit.memory.id, hit.score) for hit in hits]


def test_whoever_holds_more_of_the_words_comes_first(database: Database) -> None:
    one = _add(database, "The passport is in the drawer")
    both = _add(database, "A new passport for the trip to Japan")
    _add(database, "Milk and bread")
    assert _found(database, "passport japan") == [(both, 1.0), (one, 0.5)]


def test_equals_come_newest_first(database: Database) -> None:
    stored = [_add(database, "passport") for _ in range(3)]
    assert [memory_id for memory_id, _ in _found(database, "passport")] == stored[::-1]


def test_a_word_in_content_and_tags_counts_more_than_in_one_of_them(database: Database) -> None:
    tagged = _add(database, "My passport", "passport")
    newer = _add(database, "My passport")
    assert _found(database, "passport") == [(tagged, 1.0), (newer, 1.0)]


def test_tags_are_searched_word_by_word(database: Database) -> None:
    memory = _add(database, "IMG_2041", "blue sky", "Mountain")
    assert _found(database, "SKY") == [(memory, 1.0)]
    assert _found(database, "mountain blue") == [(memory, 1.0)]


def test_a_hit_shows_the_whole_memory(database: Database) -> None:
    memory_id = _add(database, "On the wall", "cat")
    with database.read() as connection:
        (hit,) = search(connection, owner_user_id=7, query="cat")
        assert hit.memory == memories.get(connection, memory_id)


def test_a_rejected_tag_finds_nothing_until_it_is_confirmed(database: Database) -> None:
    memory = _add(database, "On the wall", "cat", "stone")
    for status, found in (("rejected", []), ("confirmed", [(memory, 1.0)])):
        with database.begin() as connection:
            memories.put_tags(connection, memory, ["cat"], status)
        assert _found(database, "cat") == found
    assert _found(database, "stone") == [(memory, 1.0)]


def test_a_word_of_the_content_is_found_whatever_becomes_of_the_tag(database: Database) -> None:
    memory = _add(database, "A cat", "cat")
    with database.begin() as connection:
        memories.put_tags(connection, memory, ["cat"], "rejected")
    assert _found(database, "cat") == [(memory, 1.0)]


def test_nobody_finds_what_is_anothers(database: Database) -> None:
    mine = _add(database, "passport", owner=7)
    theirs = _add(database, "passport", owner=8)
    assert _found(database, "passport", owner=7) == [(mine, 1.0)]
    assert _found(database, "passport", owner=9) == []
    assert _found(database, "passport", owner=None) == [(theirs, 1.0), (mine, 1.0)]


def test_case_width_and_accents_are_folded_the_same_on_both_databases(
    database: Database,
) -> None:
    for content, query in [
        ("Die Straße", "STRASSE"),
        ("in Zürich", "zürich"),
        ("Café", "CAFE\u0301"),
        ("\uff21\uff22\uff23\uff11\uff12\uff13", "abc123"),
        ("naïve; résumé", "Résumé"),
        ("Привет, мир", "МИР"),
        ("it's a snake_case word", "snake"),
        ("x" * 500, "x" * 500),
    ]:
        memory = _add(database, content)
        assert _found(database, query) == [(memory, 1.0)]


def test_words_match_whole(database: Database) -> None:
    _add(database, "The party was great")
    assert _found(database, "art") == []
    assert _found(database, "parties") == []


def test_no_query_is_a_syntax_error(database: Database) -> None:
    _add(database, "Something else")
    for query in [
        "", "   ", "!!!", "'", '"', "& | ! ( ) :*", "--", "%", "_", "\\", "\0", "🎉",
        "a\0b NEAR/3 OR",
    ]:  # fmt: skip
        assert _found(database, query) == []


def test_signs_around_the_words_do_not_matter(database: Database) -> None:
    memory = _add(database, "passport")
    for query in ('"passport"', "passport'; DROP TABLE memories; --", "(passport & !"):
        assert [memory_id for memory_id, _ in _found(database, query)] == [memory]
    assert _found(database, "pass*port") == []


def test_a_limit_keeps_the_best(database: Database) -> None:
    best = _add(database, "alpha beta")
    for _ in range(4):
        _add(database, "alpha")
    found = _found(database, "alpha beta", limit=2)
    assert len(found) == 2
    assert found[0] == (best, 1.0)


def test_the_first_words_of_a_long_query_count(database: Database) -> None:
    memory = _add(database, "needle")
    words = " ".join(f"word{number}" for number in range(MAX_QUERY_WORDS - 1))
    assert _found(database, f"{words} needle") == [(memory, 1 / MAX_QUERY_WORDS)]
    assert _found(database, f"{words} another needle") == []


def test_a_large_memory_is_found_by_any_of_its_words(database: Database) -> None:
    content = " ".join(f"w{number:05}" for number in range(14_000))
    memory = _add(database, content[:100_000])
    assert _found(database, "w00000 w13999") == [(memory, 1.0)]


def test_the_index_goes_with_the_memory(database: Database) -> None:
    memory = _add(database, "passport", "japan")
    with database.begin() as connection:
        connection.execute(delete(memories_table).where(memories_table.c.id == memory))
    with database.read() as connection:
        left = connection.execute(select(func.count()).select_from(memory_words)).scalar_one()
    assert left == 0


def test_tags_of_a_memory_of_another_program_are_not_indexed(database: Database) -> None:
    with database.begin() as connection:
        memories.suggest_tags(connection, "theirs-1", ["passport"])
    assert _found(database, "passport", owner=None) == []


@given(st.text(max_size=200))
def test_words_are_storable_distinct_and_found_again(text: str) -> None:
    words = words_of(text)
    assert len(words) == len(set(words))
    for word in words:
        assert 1 <= len(word) <= 64
        assert "\0" not in word
        word.encode()
