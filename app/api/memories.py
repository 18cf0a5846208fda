"""``/memories``, their tags, and ``/search``: what image_tag and intent_classify work on."""

from typing import Annotated, Literal

from apiflask import APIBlueprint
from pydantic import Field

from app.api.fields import In, Out, ShortText, Text, Time, UserId, UserIdFilter
from app.api.paging import MAX_LIMIT, Page, Window, list_of, next_link
from app.api.services import services
from app.errors import NotFoundError
from app.jobs.tags import MAX_TAG_CHARS
from app.store import memories, search

blueprint = APIBlueprint("memories", __name__, tag="Memories")

MAX_TAGS = 100
MAX_HITS = 1_000
TagStatus = Literal["suggested", "confirmed", "rejected"]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARS, pattern=r"\S")]


class MemoryIn(In):
    """A memory to keep."""

    content: Text
    owner_user_id: UserId
    media_type: ShortText | None = None
    image_path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class TagOut(Out):
    """A tag; ``suggested`` ones come from the LLM."""

    tag: str
    status: TagStatus


class MemoryOut(Out):
    """A memory with its tags."""

    id: str
    content: str
    owner_user_id: int
    media_type: str | None
    image_path: str | None
    tags: list[TagOut]
    created_at: Time

    @classmethod
    def of(cls, row: memories.MemoryRow) -> "MemoryOut":
        """From the store's row."""
        return cls.model_validate(row, from_attributes=True)


class TagsIn(In):
    """Tags to add; those that the memory has already take the status over."""

    tags: Annotated[list[Tag], Field(min_length=1, max_length=MAX_TAGS)]
    status: TagStatus = "confirmed"


class MemoryFilter(Page):
    """Which memories."""

    owner_user_id: UserIdFilter | None = None


class SearchQuery(In):
    """What to look for; ``owner`` is the memories' ``owner_user_id``."""

    q: Annotated[str, Field(min_length=1, max_length=1000)]
    owner: UserIdFilter | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    offset: Annotated[int, Field(ge=0, le=MAX_HITS)] = 0


class HitOut(Out):
    """A memory found; ``score`` is the share of the query's words that it holds, 0 to 1."""

    memory: MemoryOut
    score: float


@blueprint.post("/memories")
@blueprint.input(MemoryIn)
@blueprint.output(MemoryOut, status_code=201)
def add_memory(json_data: MemoryIn) -> tuple[MemoryOut, int, dict[str, str]]:
    """Keep a memory."""
    with services().database.begin() as connection:
        row = memories.add(connection, **dict(json_data))
    return MemoryOut.of(row), 201, {"Location": f"/memories/{row.id}"}


@blueprint.get("/memories")
@blueprint.input(MemoryFilter, location="query")
@blueprint.output(list_of(MemoryOut))
def list_memories(query_data: MemoryFilter) -> tuple[list[MemoryOut], int, dict[str, str]]:
    """List memories, newest first."""
    with services().database.read() as connection:
        rows = memories.list_newest(
            connection, owner_user_id=query_data.owner_user_id, **query_data.window()
        )
    page, headers = query_data.cut(rows)
    return [MemoryOut.of(row) for row in page], 200, headers


@blueprint.get("/memories/<memory_id>")
@blueprint.output(MemoryOut)
@blueprint.doc(responses={404: "There is no such memory"})
def show_memory(memory_id: str) -> MemoryOut:
    """Read a memory."""
    with services().database.read() as connection:
        row = memories.get(connection, memory_id)
    if row is None:
        raise NotFoundError("There is no such memory.")
    return MemoryOut.of(row)


@blueprint.get("/memories/<memory_id>/tags")
@blueprint.input(Window, location="query")
@blueprint.output(list_of(TagOut))
def list_tags(memory_id: str, query_data: Window) -> tuple[list[TagOut], int, dict[str, str]]:
    """List a memory's tags, newest first; the memory itself may be kept in another program."""
    with services().database.read() as connection:
        newest_first = memories.tags(connection, memory_id)[::-1]
    end = query_data.offset + query_data.limit
    page = [
        TagOut.model_validate(row, from_attributes=True)
        for row in newest_first[query_data.offset : end]
    ]
    return page, 200, next_link(offset=end) if len(newest_first) > end else {}


@blueprint.post("/memories/<memory_id>/tags")
@blueprint.input(TagsIn)
@blueprint.output(list_of(TagOut), status_code=201)
def put_tags(memory_id: str, json_data: TagsIn) -> list[TagOut]:
    """Add tags to a memory, or change the status of those it has; answers with all its tags."""
    with services().database.begin() as connection:
        rows = memories.put_tags(connection, memory_id, json_data.tags, json_data.status)
    return [TagOut.model_validate(row, from_attributes=True) for row in rows]


@blueprint.get("/search")
@blueprint.input(SearchQuery, location="query")
@blueprint.output(list_of(HitOut))
def search_memories(query_data: SearchQuery) -> tuple[list[HitOut], int, dict[str, str]]:
    """Search memories and their tags for words, best first."""
    end = query_data.offset + query_data.limit
    with services().database.read() as connection:
        hits = search.search(
            connection,
            owner_user_id=query_data.owner,
            query=query_data.q,
            limit=end + 1,
        )
    page = [
        HitOut(memory=MemoryOut.of(hit.memory), score=hit.score)
        for hit in hits[query_data.offset : end]
    ]
    return page, 200, next_link(offset=end) if len(hits) > end else {}
