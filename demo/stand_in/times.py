"""Finds when something is: the words by a pattern, their meaning by dateparser."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_NUMBER = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+\d{4})?"
_COUNT = r"(?:\d+|an?|one|two|three|four|five|six|seven|ten)"
_DAY = re.compile(
    rf"""\b(?:(?:on|by|until|before|this|next)\s+)*(?P<day>
        \d{{4}}-\d{{2}}-\d{{2}}
      | (?:{_WEEKDAY},?\s+)?(?:the\s+)?{_NUMBER}\s+(?:of\s+)?{_MONTH}\b{_YEAR}
      | (?:{_WEEKDAY},?\s+)?{_MONTH}\.?\s+{_NUMBER}\b{_YEAR}
      | day\s+after\s+tomorrow | today | tonight | tomorrow
      | in\s+{_COUNT}\s+(?:minute|hour|day|week|month)s?
      | (?<=next\s)(?:week|month) | {_WEEKDAY}
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_CLOCK = re.compile(
    r"""\b(?:at\s+|by\s+|from\s+)?(?:
        (?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2}))?\s*(?P<half>[ap])\.?m\b\.?
      | (?P<hour24>\d{1,2}):(?P<minute24>\d{2})(?::\d{2})?
      | (?<=at\s)(?P<bare>\d{1,2})(?:\s*o'clock)?\b(?![\d:.-]*\d)
      | (?P<word>noon|midday|midnight|in\s+the\s+morning|in\s+the\s+evening)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ISO = re.compile(r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_WORDS = {"noon": 12, "midday": 12, "midnight": 0, "morning": 9, "evening": 19}
_TONIGHT = time(20)
_MORNING = time(9)


@dataclass(frozen=True)
class Moment:
    """When something is: the words of the text that say so, and their meaning."""

    words: str
    at: datetime
    has_clock: bool


def warm_up() -> None:
    """Import dateparser and its language now, which takes a second, rather than in an answer.

    Raises ``ModuleNotFoundError`` where it is not installed.
    """
    find_moment("tomorrow", datetime.now(UTC))


def parse_now(text: str | None) -> datetime:
    """The time at which a text was written, with an offset; now where that makes no sense."""
    try:
        written = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return datetime.now(UTC)
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def find_moment(text: str, now: datetime) -> Moment | None:
    """The first date or time of day in ``text``, counted from ``now`` and in its offset.

    09:00 where no time of day is said; a time of day alone is the next one.
    """
    if iso := _ISO.search(text):
        at = _iso(iso[0], now)
        return Moment(iso[0], at, has_clock=True) if at else None
    day = _DAY.search(text)
    at = _day(day["day"], now) if day else None
    clock = _CLOCK.search(text)
    hour = _hour(clock) if clock else None
    found = (day if at else None, clock if hour else None)
    words = " ".join(part[0] for part in _in_order(*found))
    if day is None or at is None:
        return Moment(words, _next(hour, now), has_clock=True) if hour is not None else None
    if re.search(r"minute|hour", day["day"], re.IGNORECASE):
        return Moment(day[0], at, has_clock=True)
    if hour is None and day["day"].lower() == "tonight":
        hour = _TONIGHT
    return Moment(words, _set(at, hour or _MORNING), has_clock=hour is not None)


def _next(hour: time, now: datetime) -> datetime:
    at = _set(now, hour)
    return at if at > now else at + timedelta(days=1)


def _in_order(*matches: re.Match[str] | None) -> list[re.Match[str]]:
    found = [match for match in matches if match]
    return sorted(found, key=lambda match: match.start())


def _day(words: str, now: datetime) -> datetime | None:
    # Imported when needed: it is for the demo alone, and slow. It carries no types.
    import dateparser  # type: ignore[import-untyped]  # noqa: PLC0415 - slow, untyped

    settings = {
        "RELATIVE_BASE": now.replace(tzinfo=None),
        "PREFER_DATES_FROM": "future",
        "PREFER_DAY_OF_MONTH": "first",
    }
    plain = re.sub(r"^the\s+|,", "", words.strip(), flags=re.IGNORECASE).replace("tonight", "today")
    plain = re.sub(rf"^{_WEEKDAY}\s+(?=\S)", "", plain, flags=re.IGNORECASE)
    if plain in ("week", "month"):
        plain = f"in 1 {plain}"
    found: datetime | None = dateparser.parse(plain, languages=["en"], settings=settings)
    return found.replace(tzinfo=now.tzinfo) if found else None


def _hour(clock: re.Match[str]) -> time | None:
    """The time of day, or ``None`` where there is no such (25:00)."""
    if word := clock["word"]:
        return time(_WORDS[word.split()[-1].lower()])
    hour = int(clock["hour"] or clock["hour24"] or clock["bare"])
    if half := clock["half"]:
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    try:
        return time(hour, int(clock["minute"] or clock["minute24"] or 0))
    except ValueError:
        return None


def _set(day: datetime, clock: time) -> datetime:
    return day.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)


def _iso(text: str, now: datetime) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=now.tzinfo)
