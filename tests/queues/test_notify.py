import json
from typing import Any, cast

import pytest
from redis import Redis

from queues import notify
from queues.notify import Notification


def _notification(event_id: str, **content: Any) -> Notification:
    return Notification(event_id, "job", 7, "llm_intent_result", content)


def _documents(redis: Redis) -> list[dict[str, Any]]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(notify.STREAM))
    assert all(list(fields) == [b"data"] for _id, fields in entries)
    return [json.loads(fields[b"data"]) for _id, fields in entries]


def test_an_entry_has_one_field_with_a_json_document(redis_client: Redis) -> None:
    notify.publish(redis_client, [_notification("e1", intent="note", text="grün\x00\ud83d")])

    assert _documents(redis_client) == [
        {
            "user_id": 7,
            "message_type": "llm_intent_result",
            "content": {"intent": "note", "text": "grün\x00\ud83d"},
            "event_id": "e1",
            "job_id": "job",
        }
    ]


def test_entries_come_in_order_and_repeats_add_nothing(redis_client: Redis) -> None:
    first, second, third = (_notification(f"e{number}") for number in range(3))

    notify.publish(redis_client, [first, second])
    notify.publish(redis_client, [second, first, third, third])

    assert [document["event_id"] for document in _documents(redis_client)] == ["e0", "e1", "e2"]


def test_repeats_are_known_for_a_week(redis_client: Redis) -> None:
    notify.publish(redis_client, [_notification("e1")])

    left_s = cast("int", redis_client.ttl(notify.EVENT_KEY_PREFIX + "e1"))
    assert 7 * 86_400 - 60 < left_s <= 7 * 86_400


def test_each_publication_raises_the_mark(redis_client: Redis) -> None:
    assert notify.publish(redis_client, [_notification("e1")]) == 1
    assert notify.publish(redis_client, [_notification("e1")]) == 2


def test_the_stream_does_not_grow_without_end(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "MAX_LENGTH", 100)
    for start in range(0, 1_000, 250):
        notify.publish(redis_client, [_notification(f"e{start + number}") for number in range(250)])

    assert cast("int", redis_client.xlen(notify.STREAM)) < 400


def test_a_mark_grows_from_nothing(redis_client: Redis) -> None:
    assert notify.grow_mark(redis_client, 0) == 1
    assert notify.grow_mark(redis_client, 1) == 2


def test_a_mark_above_that_of_sql_grows(redis_client: Redis) -> None:
    redis_client.set(notify.MARK_KEY, 41)

    assert notify.grow_mark(redis_client, 7) == 42


@pytest.mark.parametrize("value", [None, "3", "nan", "0x10", "9" * 16])
def test_a_missing_or_lower_mark_is_a_wipe_and_is_left_as_it_is(
    redis_client: Redis, value: str | None
) -> None:
    if value is not None:
        redis_client.set(notify.MARK_KEY, value)

    assert notify.grow_mark(redis_client, 5) is None

    found = cast("bytes | None", redis_client.get(notify.MARK_KEY))
    assert (found.decode() if found else None) == value


@pytest.mark.parametrize(("value", "restored"), [(None, 6), ("3", 6), ("9", 10), ("abc", 6)])
def test_a_restored_mark_is_above_both(
    redis_client: Redis, value: str | None, restored: int
) -> None:
    if value is not None:
        redis_client.set(notify.MARK_KEY, value)

    assert notify.restore_mark(redis_client, 5) == restored
    assert notify.grow_mark(redis_client, restored) == restored + 1


def test_large_marks_are_exact(redis_client: Redis) -> None:
    redis_client.set(notify.MARK_KEY, 123_456_789_012_345)

    assert notify.grow_mark(redis_client, 123_456_789_012_345) == 123_456_789_012_346
    assert redis_client.get(notify.MARK_KEY) == b"123456789012346"
