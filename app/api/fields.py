"""Types of fields that several models share, and the base of all models."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MAX_TEXT_CHARS = 100_000
_DATE_AND_MORE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d")
_EARLIEST_YEAR, _LATEST_YEAR = 1000, 9000


class In(BaseModel):
    """What a client sends. An unknown field is an error: a mistyped name must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Out(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


def _parse_time(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    text = value if isinstance(value, str) and _DATE_AND_MORE.match(value) else ""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time as in 2030-01-31T09:00:00+01:00 (RFC 3339)") from None


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its offset from UTC: end it with Z or, for example, +01:00")
    # The limits leave room for any offset: Python's and PostgreSQL's calendars end at 9999.
    if not _EARLIEST_YEAR <= value.year <= _LATEST_YEAR:
        raise ValueError(f"the year must be from {_EARLIEST_YEAR} to {_LATEST_YEAR}")
    return value.astimezone(UTC)


Time = Annotated[datetime, BeforeValidator(_parse_time), AfterValidator(_in_utc)]
"""A time in RFC 3339; read with any offset, kept and written in UTC (``Z``)."""

_INT64 = {"ge": -(2**63), "le": 2**63 - 1}
UserId = Annotated[int, Field(strict=True, **_INT64)]
"""A user in the client's own numbering: a 64-bit integer."""

UserIdFilter = Annotated[int, Field(**_INT64)]
"""The same in a query, where everything is text."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
ShortText = Annotated[str, Field(min_length=1, max_length=500)]
