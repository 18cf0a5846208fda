"""What maintenance does about a Redis that was wiped or rolled back."""

import json
import time
from typing import Any, cast

import pytest
from redis import Redis

from app.jobs.status import JobStatus
from app.store import relay_state
from app.store.database import Database
from queues import notify
from tests.factories import (
    add_job,
    add_jobs,
    claimed,
    completed,
    ended,
    row_of,
    ticket,
)
from tests.relays import (
    dispatcher_of,
    listed,
    push,
    relay_of,
)


def _entries(redis: Redis) -> list[dict[str, Any]]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(notify.STREAM))
    return [json.loads(fields[b"data"]) for _id, fields in entries]


def _mark(database: Database) -> int:
    with database.read() as connection:
        return relay_state.read(connection).mark


# -- wipes ------------------------------------------------------------------------------------


def test_after_a_wipe_everything_queued_is_pushed_again_at_once(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    queued = add_jobs(database, 3)
    push(redis_url, *(ticket(job_id) for job_id in queued))
    running, failed = claimed(database).job_id, ended(database, JobStatus.FAILED)
    relay_of(database, redis_url).tick()
    before = _mark(database)

    redis_client.flushall()
    relay_of(database, redis_url).tick()

    assert sorted(listed(redis_client)) == sorted(f"{job_id}-2" for job_id in queued)
    assert (row_of(database, running).seq, row_of(database, failed).seq) == (1, 1)
    mark = int(cast("bytes", redis_client.get(notify.MARK_KEY)))
    assert mark > before
    assert _mark(database) == mark


def test_what_was_pushed_again_after_a_wipe_is_not_pushed_a_third_time(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database)
    relay_of(database, redis_url).tick()
    redis_client.flushall()

    for _ in range(3):
        relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-2"]
    with database.read() as connection:
        assert relay_state.read(connection).repush_before is None


def test_a_wipe_is_repaired_in_slices_over_several_ticks(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.SLICE", 4)
    monkeypatch.setattr("workers.relay.STEP_BUDGET_S", -1.0)
    queued = add_jobs(database, 10)
    relay_of(database, redis_url).tick()
    redis_client.flushall()

    lengths = []
    for _ in range(4):
        relay_of(database, redis_url).tick()
        lengths.append(len(listed(redis_client)))

    assert lengths == [4, 8, 10, 10]
    assert set(listed(redis_client)) == {f"{job_id}-2" for job_id in queued}


def test_a_wipe_is_repaired_later_when_pushes_rest(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database)
    relay_of(database, redis_url).tick()
    dispatcher = dispatcher_of(redis_url)
    dispatcher._rest_until = time.monotonic() + 60

    redis_client.flushall()
    relay_of(database, redis_url, dispatcher=dispatcher).tick()
    assert row_of(database, job_id).seq == 1

    relay_of(database, redis_url).tick()
    assert listed(redis_client) == [f"{job_id}-2"]


def test_after_a_wipe_the_last_hours_notifications_go_out_again_with_the_same_event_id(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    old = completed(database)
    relay_of(database, redis_url).tick()
    recent = completed(database)
    relay_of(database, redis_url, at_s=3_500).tick()
    (first, second) = _entries(redis_client)
    assert [first["job_id"], second["job_id"]] == [old, recent]

    redis_client.flushall()
    relay_of(database, redis_url, at_s=3_700).tick()

    assert _entries(redis_client) == [second]


def test_a_redis_that_came_back_with_an_older_state_counts_as_wiped(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    relay_of(database, redis_url).tick()
    snapshot = cast("bytes", redis_client.get(notify.MARK_KEY))
    relay_of(database, redis_url).tick()
    job_id = add_job(database)
    redis_client.set(notify.MARK_KEY, snapshot)

    relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-2"]


@pytest.mark.parametrize("nonsense", ["", "abc", "-5", "1e9", "9" * 40])
def test_a_mark_that_is_no_number_counts_as_wiped_and_is_mended(
    database: Database, redis_url: str, redis_client: Redis, nonsense: str
) -> None:
    relay_of(database, redis_url).tick()
    job_id = add_job(database)
    redis_client.set(notify.MARK_KEY, nonsense)

    relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-2"]
    assert int(cast("bytes", redis_client.get(notify.MARK_KEY))) == _mark(database) == 2


def test_a_redis_used_for_the_first_time_is_not_taken_for_wiped(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = add_job(database)
    push(redis_url, ticket(job_id))

    relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-1"]


def test_sql_learns_of_a_wipe_before_the_mark_is_set(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that is killed between the two must find the wipe again."""
    job_id = add_job(database)
    relay_of(database, redis_url).tick()
    redis_client.flushall()

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("queues.notify.restore_mark", killed)
        with pytest.raises(KeyboardInterrupt):
            relay_of(database, redis_url).tick()
    assert redis_client.get(notify.MARK_KEY) is None
    relay_of(database, redis_url).tick()

    assert listed(redis_client) == [f"{job_id}-2"]


def test_a_wipe_between_publishing_and_noting_it_loses_no_notification(
    database: Database,
    redis_url: str,
    redis_client: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay_of(database, redis_url).tick()
    job_id = completed(database)
    publish = notify.publish

    def publish_and_be_wiped(*arguments: Any) -> int:
        mark = publish(*arguments)
        monkeypatch.setattr(notify, "publish", publish)
        redis_client.flushall()
        # Another relay sees the wipe before this one has noted what it published.
        with database.read() as connection:
            state = relay_state.read(connection)
        assert relay_of(database, redis_url)._redis_answers(state)
        return mark

    monkeypatch.setattr(notify, "publish", publish_and_be_wiped)
    relay_of(database, redis_url).tick()
    relay_of(database, redis_url).tick()

    assert [entry["job_id"] for entry in _entries(redis_client)] == [job_id]
