"""Lists: ``limit``, ``offset``, ``cursor``, and a ``Link`` header to the next page."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode

from flask import request
from pydantic import BaseModel, Field

from app.api.fields import In
from app.errors import InvalidInputError

MAX_LIMIT = 200
MAX_OFFSET = 2**31 - 1


class Row(Protocol):
    """What a list holds: something with an id that was created at some time."""

    @property
    def id(self) -> str:
        """Unique, and the second key of the order."""
        ...

    @property
    def created_at(self) -> datetime:
        """The first key of the order."""
        ...


RowT = TypeVar("RowT", bound=Row)


class Window(In):
    """Which part of a short list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0


class Page(Window):
    """Which part of a list; ``cursor`` comes from the ``Link`` header of the page before."""

    cursor: Annotated[str, Field(max_length=500)] | None = None

    def window(self) -> dict[str, Any]:
        """The arguments of the store's lists: one row over the limit tells whether more follow."""
        before = from_cursor(self.cursor) if self.cursor else None
        return {"limit": self.limit + 1, "offset": self.offset, "before": before}

    def cut(self, rows: Sequence[RowT]) -> tuple[Sequence[RowT], dict[str, str]]:
        """The page's rows, and the ``Link`` header when more follow.

        The next page is named by a cursor: it stays right while rows are added.
        """
        page = rows[: self.limit]
        if len(rows) <= self.limit:
            return page, {}
        return page, next_link(cursor=to_cursor(page[-1].created_at, page[-1].id), offset=None)


def list_of(model: type[BaseModel]) -> Any:
    """``list[model]`` for ``output``: APIFlask takes it, only its types do not say so."""
    return list[model]  # type: ignore[valid-type]  # made at run time


def next_link(**changed: Any) -> dict[str, str]:
    """The ``Link`` header: this request with some parameters changed (``None``: left out).

    It is relative to the request's address, so that it is right behind any proxy.
    """
    query = {**request.args.to_dict(), **changed}
    text = urlencode({name: value for name, value in query.items() if value is not None})
    return {"Link": f'<{request.path}?{text}>; rel="next"'}


def to_cursor(created_at: datetime, row_id: str) -> str:
    """A mark of where a page ended; opaque to clients."""
    text = f"{created_at.astimezone(UTC).isoformat()}|{row_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> tuple[datetime, str]:
    """The creation time and id that ``to_cursor`` was given; raises ``InvalidInputError``."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        time_text, _, row_id = text.partition("|")
        created_at = datetime.fromisoformat(time_text)
    except ValueError:
        raise _foreign_cursor() from None
    if not row_id or "\x00" in row_id or created_at.tzinfo is not UTC:
        raise _foreign_cursor()
    return created_at, row_id


def _foreign_cursor() -> InvalidInputError:
    message = "is not one that this API gave: follow the Link header of a page"
    error = {"loc": "query.cursor", "msg": message}
    return InvalidInputError(f"cursor {message}.", errors=[error])
