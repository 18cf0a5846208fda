"""Notifications out: each event id goes into the stream once, and a mark that shows a wipe.

The mark is a number that only grows, kept in Redis and in SQL. A mark in Redis that is missing or
below SQL's means that Redis was wiped or rolled back to an older state.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

STREAM = "notify:telegram"
MARK_KEY = "llm-jobs:mark"
EVENT_KEY_PREFIX = "llm-jobs:event:"
EVENT_TTL_S = 7 * 86_400
MAX_LENGTH = 100_000

# KEYS: stream, mark, one key per event. ARGV: maximum length, event TTL in s, one document per
# event. Returns the mark.
_PUBLISH = """
for i = 3, #KEYS do
    if redis.call('SET', KEYS[i], '1', 'NX', 'EX', ARGV[2]) then
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[i])
    end
end
return redis.call('INCR', KEYS[2])
"""

# KEYS: mark. ARGV: the mark that SQL holds. Returns the new mark, above both.
_ADVANCE = """
local mark = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])) + 1
redis.call('SET', KEYS[1], string.format('%.0f', mark))
return mark
"""


@dataclass(frozen=True)
class Notification:
    """One entry of the stream; ``event_id`` is stable, so a consumer can drop repeats."""

    event_id: str
    job_id: str
    user_id: int
    message_type: str
    content: dict[str, Any]

    def document(self) -> str:
        """The JSON of the entry's one field, ``data``."""
        return json.dumps(
            {
                "user_id": self.user_id,
                "message_type": self.message_type,
                "content": self.content,
                "event_id": self.event_id,
                "job_id": self.job_id,
            }
        )


def publish(redis: Redis, notifications: Sequence[Notification]) -> int:
    """Add the notifications that Redis has not seen yet, in order; returns the grown mark.

    One script, so that none is half done. Raises ``redis.RedisError``; publishing again is safe.
    """
    script = redis.register_script(_PUBLISH)
    keys = [STREAM, MARK_KEY, *(EVENT_KEY_PREFIX + n.event_id for n in notifications)]
    arguments: list[str | int] = [MAX_LENGTH, EVENT_TTL_S, *(n.document() for n in notifications)]
    return int(cast("int", script(keys=keys, args=arguments)))


def read_mark(redis: Redis) -> int | None:
    """The mark in Redis; ``None`` when it is missing."""
    value = cast("bytes | None", redis.get(MARK_KEY))
    return int(value) if value is not None and value.isdigit() else None


def advance_mark(redis: Redis, at_least: int) -> int:
    """Set the mark above ``at_least`` and above its own value; returns it."""
    script = redis.register_script(_ADVANCE)
    return int(cast("int", script(keys=[MARK_KEY], args=[at_least])))
