"""Full-text search over users' memories and their tags; the same on SQLite and PostgreSQL."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from app.store.memories import MemoryRow, with_tags
from app.store.user_tables import memories, memory_words
from app.store.words import words_of

MAX_QUERY_WORDS = 32
"""Further words of a query are not looked at."""


@dataclass(frozen=True)
class Hit:
    """A memory that holds at least one word of the query; ``score`` is the share it holds, 0..1."""

    memory: MemoryRow
    score: float


def search(
    connection: Connection, *, owner_user_id: int | None, query: str, limit: int = 10
) -> list[Hit]:
    """The memories that hold any word of ``query`` in their content or tags, best first.

    Best is who holds most of the words, then who holds them in content and tags both, then the
    newest. Words match whole, whatever their case; everything else in the query is ignored, so no
    input is a syntax error. A query without a word finds nothing. ``None`` for the owner: all.
    """
    words = words_of(query)[:MAX_QUERY_WORDS]
    if not words:
        return []
    matched = func.count(memory_words.c.word.distinct()).label("matched")
    places = func.count().label("places")
    counted = select(memory_words.c.memory_id, matched, places).where(
        memory_words.c.word.in_(words)
    )
    if owner_user_id is not None:
        counted = counted.where(memory_words.c.owner_user_id == owner_user_id)
    found = counted.group_by(memory_words.c.memory_id).subquery()
    best = (
        select(memories.c.id, found.c.matched)
        .join(found, found.c.memory_id == memories.c.id)
        .order_by(
            found.c.matched.desc(),
            found.c.places.desc(),
            memories.c.created_at.desc(),
            memories.c.id.desc(),
        )
        .limit(limit)
    )
    rows = connection.execute(best).all()
    return _hits(connection, {row.id: row.matched for row in rows}, len(words))


def _hits(connection: Connection, matched: dict[str, int], asked: int) -> list[Hit]:
    statement = select(memories).where(memories.c.id.in_(matched))
    rows = connection.execute(statement).mappings().all()
    by_id = {memory.id: memory for memory in with_tags(connection, rows)}
    return [Hit(by_id[memory_id], count / asked) for memory_id, count in matched.items()]
