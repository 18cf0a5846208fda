"""Notifications on their way from the transition log to the stream."""

import json
import logging
from typing import Any, cast

import pytest
from redis import Redis
from sqlalchemy import select, update

from app.jobs.status import JobStatus
from app.store.database import EPOCH, Database
from app.store.schema import job_transitions
from queues import notify
from tests.factories import (
    claimed,
    completed,
    fail,
    row_of,
)
from tests.relays import (
    relay_of,
)


def _entries(redis: Redis) -> list[dict[str, Any]]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(notify.STREAM))
    return [json.loads(fields[b"data"]) for _id, fields in entries]


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
    assert bad in {record.job_id for record in caplog.records}  # type: ignore[attr-defined]  # extra
    assert "private" not in caplog.text


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
