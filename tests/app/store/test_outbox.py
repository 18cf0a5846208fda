from app.store import outbox
from app.store.database import Database
from app.store.outbox import Outgoing
from tests.factories import add_job, completed


def _unpublished(database: Database, limit: int = 100) -> list[Outgoing]:
    with database.read() as connection:
        return outbox.unpublished(connection, limit)


def _publish(database: Database, items: list[Outgoing]) -> None:
    with database.begin() as connection:
        outbox.mark_published(connection, [item.transition_id for item in items])


def test_notifications_wait_in_the_order_of_their_transitions(database: Database) -> None:
    job_ids = [completed(database) for _ in range(3)]
    add_job(database)
    completed(database, user_id=None)

    waiting = _unpublished(database)

    assert [item.job_id for item in waiting] == job_ids
    assert waiting[0].body["message_type"] == "llm_intent_result"
    assert [item.job_id for item in _unpublished(database, limit=2)] == job_ids[:2]


def test_what_is_published_waits_no_longer(database: Database) -> None:
    first, second = completed(database), completed(database)
    _publish(database, _unpublished(database, limit=1))

    assert [item.job_id for item in _unpublished(database)] == [second]
    assert first != second


def test_an_event_keeps_its_id(database: Database) -> None:
    job_id = completed(database)
    (before,) = _unpublished(database)
    _publish(database, [before])
    with database.begin() as connection:
        outbox.unpublish(connection, 60)
    (after,) = _unpublished(database)

    assert after.event_id == before.event_id == f"{job_id}:{before.transition_id}"


def test_after_a_wipe_only_recent_notifications_wait_again(database: Database) -> None:
    completed(database)
    _publish(database, _unpublished(database))
    recent = completed(database)
    late = database.shifted(3_500)
    _publish(late, _unpublished(database))

    with database.shifted(3_700).begin() as connection:
        outbox.unpublish(connection, 3_600)

    assert [item.job_id for item in _unpublished(database)] == [recent]


def test_publishing_nothing_is_no_error(database: Database) -> None:
    _publish(database, [])
