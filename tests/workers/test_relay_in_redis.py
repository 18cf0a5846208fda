"""What maintenance does about Redis itself: wipes, notifications, tickets that lie about in RQ."""

import json
import logging
import time
from typing import Any, cast

import pytest
from redis import Redis
from sqlalchemy import select, update

from app.jobs.status import JobStatus
from app.store import relay_state
from app.store.database import EPOCH, Database
from app.store.schema import job_transitions
from queues import notify
from tests.factories import (
    QUEUE,
    add_job,
    add_jobs,
    cancelled,
    claimed,
    completed,
    ended,
    fail,
    row_of,
    set_columns,
    ticket,
    waiting,
)
from tests.relays import (
    dispatcher_of,
    file_as_failed,
    in_failed_registry,
    listed,
    push,
    relay_of,
    ttl_s,
)
from workers.relay import Relay

STARTED = f"rq:wip:{QUEUE}"
INTERMEDIATE = f"rq:queue:{QUEUE}:intermediate"


def _entries(redis: Redis) -> list[dict[str, Any]]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(notify.STREAM))
    return [json.loads(fields[b"data"]) for _id, fields in entries]


def _mark(database: Database) -> int:
    with database.read() as connection:
        return relay_state.read(connection).mark


def _is_published(database: Database, job_id: str) -> bool:
    with database.read() as connection:
        return all(
            published_at is not None
            for published_at in connection.scalars(
                select(job_transitions.c.published_at).where(
                    job_transitions.c.job_id == job_id,
                    job_transitions.c.notification.is_not(None),
                )
            )
        )


# -- notifications ----------------------------------------------------------------------------


def test_a_notification_is_published_as_the_contract_says(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = completed(database, user_id=12345)

    relay_of(database, redis_url).tick()

    (entry,) = _entries(redis_client)
    assert entry.pop("event_id").startswith(job_id)
    assert entry == {
        "user_id": 12345,
        "message_type": "llm_intent_result",
        "content": {},
        "job_id": job_id,
    }
    assert _is_published(database, job_id)


def test_notifications_go_out_in_the_order_of_their_transitions(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.SLICE", 2)
    monkeypatch.setattr("workers.relay.STEP_BUDGET_S", 30.0)
    job_ids = [completed(database) for _ in range(5)]

    relay_of(database, redis_url).tick()

    assert [entry["job_id"] for entry in _entries(redis_client)] == job_ids


def test_a_notification_published_twice_is_in_the_stream_once(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = completed(database)
    relay_of(database, redis_url).tick()
    with database.begin() as connection:
        # As after a crash between the publication and its commit.
        connection.execute(update(job_transitions).values(published_at=None))

    relay_of(database, redis_url).tick()

    assert len(_entries(redis_client)) == 1
    assert _is_published(database, job_id)


def test_a_stream_that_cannot_be_written_loses_no_notification(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = completed(database)
    redis_client.set(notify.STREAM, "not a stream")
    relay_of(database, redis_url).tick()
    assert not _is_published(database, job_id)

    redis_client.delete(notify.STREAM)
    relay_of(database, redis_url).tick()

    assert [entry["job_id"] for entry in _entries(redis_client)] == [job_id]
    assert _is_published(database, job_id)


def test_one_unreadable_notification_does_not_hold_up_the_others(
    database: Database, redis_url: str, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = completed(database, user_id=31_337), completed(database)
    with database.begin() as connection:
        connection.execute(
            update(job_transitions)
            .where(job_transitions.c.job_id == bad, job_transitions.c.notification.is_not(None))
            .values(notification={"text": "private"})
        )

    with caplog.at_level(logging.ERROR):
        relay_of(database, redis_url).tick()
        relay_of(database, redis_url).tick()

    assert [entry["job_id"] for entry in _entries(redis_client)] == [good]
    assert bad in {record.job_id for record in caplog.records}  # type: ignore[attr-defined]
    assert "private" not in caplog.text


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


# -- the sweep --------------------------------------------------------------------------------


def _sweeping(database: Database, redis_url: str, at_s: float = 120.0) -> Relay:
    relay = relay_of(database, redis_url, at_s=at_s)
    relay._next_sweep = 0.0
    return relay


def test_void_tickets_leave_the_failed_registry_and_those_of_use_stay(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    void = [completed(database), cancelled(database)]
    kept = [
        ended(database, JobStatus.FAILED),
        ended(database, JobStatus.ERROR),
        waiting(database, wait_s=3_600),
        claimed(database, lease_s=3_600).job_id,
    ]
    newer = waiting(database, wait_s=3_600)
    set_columns(database, [newer], seq=2)
    for job_id in [*void, *kept, newer, "deleted"]:
        push(redis_url, ticket(job_id))
        file_as_failed(redis_client, ticket(job_id))

    _sweeping(database, redis_url).tick()

    assert sorted(in_failed_registry(redis_client)) == sorted(f"{job_id}-1" for job_id in kept)
    for job_id in [*void, newer, "deleted"]:
        assert 0 < ttl_s(redis_client, ticket(job_id)) <= 300
    assert ttl_s(redis_client, ticket(kept[0])) > 300


def test_a_ticket_that_became_void_a_moment_ago_is_not_swept(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    job_id = completed(database)
    push(redis_url, ticket(job_id))
    file_as_failed(redis_client, ticket(job_id))

    _sweeping(database, redis_url, at_s=55).tick()
    assert in_failed_registry(redis_client) == [f"{job_id}-1"]
    _sweeping(database, redis_url, at_s=65).tick()
    assert in_failed_registry(redis_client) == []


def test_void_tickets_leave_the_started_registry_and_the_intermediate_list(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    void, kept = cancelled(database), claimed(database, lease_s=3_600).job_id
    for job_id in (void, kept):
        redis_client.zadd(STARTED, {f"{job_id}-1:execution-{job_id}": 2e9})
        redis_client.rpush(INTERMEDIATE, f"{job_id}-1")

    _sweeping(database, redis_url).tick()

    assert redis_client.zrange(STARTED, 0, -1) == [f"{kept}-1:execution-{kept}".encode()]
    assert redis_client.lrange(INTERMEDIATE, 0, -1) == [f"{kept}-1".encode()]


@pytest.mark.parametrize("foreign", [b"no ticket", b"\xff\x00-1", b"job-99999999999999999999"])
def test_rq_jobs_of_others_are_left_where_they_lie(
    database: Database, redis_url: str, redis_client: Redis, foreign: bytes
) -> None:
    void = cancelled(database)
    redis_client.zadd(f"rq:failed:{QUEUE}", {foreign: 2e9, f"{void}-1": 2e9})

    _sweeping(database, redis_url).tick()

    assert redis_client.zrange(f"rq:failed:{QUEUE}", 0, -1) == [foreign]


def test_a_large_registry_is_swept_in_slices_over_several_ticks(
    database: Database, redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.relay.STEP_BUDGET_S", -1.0)
    members = {f"gone-{number}-1": 2e9 for number in range(1_500)}
    redis_client.zadd(f"rq:failed:{QUEUE}", members)
    relay = _sweeping(database, redis_url)

    relay.tick()
    left = redis_client.zcard(f"rq:failed:{QUEUE}")
    assert 0 < left < 1_500
    deadline = time.monotonic() + 20
    while redis_client.zcard(f"rq:failed:{QUEUE}") and time.monotonic() < deadline:
        relay.tick()

    assert redis_client.zcard(f"rq:failed:{QUEUE}") == 0


def test_rq_is_swept_once_a_minute_and_not_each_second(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    relay = _sweeping(database, redis_url)
    relay.tick()
    redis_client.zadd(f"rq:failed:{QUEUE}", {"gone-1": 2e9})
    for _ in range(3):
        relay.tick()

    assert in_failed_registry(redis_client) == ["gone-1"]


def test_a_sweep_that_redis_cut_short_is_begun_again(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    redis_client.zadd(f"rq:failed:{QUEUE}", {"gone-1": 2e9})
    redis_client.set(STARTED, "of the wrong type")
    relay = _sweeping(database, redis_url)
    assert relay.tick()

    redis_client.delete(STARTED)
    redis_client.rpush(INTERMEDIATE, "gone-1")
    relay._next_sweep = 0.0
    relay.tick()
    relay._next_sweep = 0.0
    relay.tick()

    assert redis_client.llen(INTERMEDIATE) == 0


def test_a_job_that_fails_for_good_is_told_to_its_user(
    database: Database, redis_url: str, redis_client: Redis
) -> None:
    claim = claimed(database)
    fail(database, claim, JobStatus.ERROR)

    relay_of(database, redis_url).tick()

    (entry,) = _entries(redis_client)
    assert entry["message_type"] == "llm_failure"
    assert entry["content"]["job_type"] == "intent_classify"
    assert row_of(database, claim.job_id).dispatched_at > EPOCH
