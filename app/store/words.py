"""The word index behind the search: which words each memory's content and tags hold.

A plain table, kept by the functions that write memories and tags. PostgreSQL's and SQLite's own
full-text indexes split and rank text differently; with this one the same query finds the same
memories, in the same order, on both.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Connection, delete, insert, select

from app.store.user_tables import memories, memory_tags, memory_words

_WORD = re.compile(r"[^\W_]+")
_MAX_WORD_CHARS = 64
"""Longer ones (encoded data, mostly) are cut, so that they fit a PostgreSQL index entry."""


def words_of(text: str) -> list[str]:
    """The distinct words of ``text`` in their order: letters and digits, case and width folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return list(dict.fromkeys(word[:_MAX_WORD_CHARS] for word in _WORD.findall(folded)))


def index_content(connection: Connection, memory_id: str, owner_user_id: int, content: str) -> None:
    """Index a new memory's content."""
    _store(connection, memory_id, owner_user_id, "content", words_of(content))


def index_tags(connection: Connection, memory_id: str) -> None:
    """Index the memory's tags anew; those that its owner rejected find nothing.

    Does nothing for an id that is not in ``memories``. The memory's row is locked (on PostgreSQL)
    so that two writers of its tags do not each miss the other's.
    """
    owner = select(memories.c.owner_user_id).where(memories.c.id == memory_id)
    owner_user_id = connection.execute(owner.with_for_update()).scalar_one_or_none()
    if owner_user_id is None:
        return
    connection.execute(
        delete(memory_words).where(
            memory_words.c.memory_id == memory_id, memory_words.c.source == "tags"
        )
    )
    tags = select(memory_tags.c.tag).where(
        memory_tags.c.memory_id == memory_id, memory_tags.c.status != "rejected"
    )
    words = words_of(" ".join(connection.execute(tags).scalars()))
    _store(connection, memory_id, owner_user_id, "tags", words)


def _store(
    connection: Connection,
    memory_id: str,
    owner_user_id: int,
    source: Literal["content", "tags"],
    words: Iterable[str],
) -> None:
    rows = [
        {"word": word, "owner_user_id": owner_user_id, "memory_id": memory_id, "source": source}
        for word in words
    ]
    if rows:
        connection.execute(insert(memory_words), rows)
