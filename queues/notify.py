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
# event. Returns the mark. The entry comes before its key: a stream that cannot be written to must
# not make its events look published.
_PUBLISH = """
for i = 3, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 0 then
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[i])
        redis.call('SET', KEYS[i], '1', 'EX', ARGV[2])
    end
end
return redis.call('INCR', KEYS[2])
"""

# What is no number counts as missing; so does a mark that is further ahead of SQL's than any
# outage can bring it: SQL must not learn it, for it could not grow on from there.
_READ_MARK = """
local value = redis.call('GET', KEYS[1]) or ''
local mark = 0
if #value <= 15 and string.match(value, '^%d+$') then mark = tonumber(value) end
if mark > tonumber(ARGV[1]) + 1000000000 then mark = 0 end
"""

# KEYS: mark. ARGV: the mark that SQL holds. Returns the grown mark, or -1 when it is below SQL's.
_GROW = (
    _READ_MARK
    + """
if mark < tonumber(ARGV[1]) then return -1 end
redis.call('SET', KEYS[1], string.format('%.0f', mark + 1))
return mark + 1
"""
)

# KEYS: mark. ARGV: the mark that SQL holds. Returns the new mark, above both.
_RESTORE = (
    _READ_MARK
    + """
mark = math.max(mark, tonumber(ARGV[1])) + 1
redis.call('SET', KEYS[1], string.format('%.0f', mark))
return mark
"""
)


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


def grow_mark(redis: Redis, known: int) -> int | None:
    """Raise the mark and return it; ``None``, changing nothing, when Redis was wiped.

    That is when its mark is missing or below ``known``, the one that SQL holds. Asking and
    raising are one step: a wipe between the two would never be noticed.
    """
    script = redis.register_script(_GROW)
    mark = int(cast("int", script(keys=[MARK_KEY], args=[known])))
    return None if mark < 0 else mark


def restore_mark(redis: Redis, at_least: int) -> int:
    """Set the mark above ``at_least`` and above its own value; returns it."""
    script = redis.register_script(_RESTORE)
    return int(cast("int", script(keys=[MARK_KEY], args=[at_least])))
