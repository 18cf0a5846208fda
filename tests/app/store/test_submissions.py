import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.store import relay, submissions
from app.store.database import EPOCH, Database, sql_time
from app.store.schema import job_transitions, jobs
from app.store.submissions import NewJob, Stored
from tests.factories import add_job, claimed, moves_of, new_job, row_of, ticket


def _add(database: Database, *new_jobs: NewJob, dispatched: bool = True) -> list[Stored]:
    with database.begin() as connection:
        return submissions.add(connection, new_jobs, dispatched=dispatched, actor="api")


def _count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(jobs)).scalar_one()


def test_a_job_is_stored_with_its_first_transition(database: Database) -> None:
    job = new_job(user_id=5, priority="high", queue="llm_intent-high", metadata={"a": [1]})

    (stored,) = _add(database, job)

    assert stored == Stored(job.id, created=True, same_request=True, dispatched=True)
    row = row_of(database, job.id)
    assert (row.status, row.seq, row.attempts, row.failures) == ("queued", 1, 0, 0)
    assert (row.user_id, row.priority, row.queue) == (5, "high", "llm_intent-high")
    assert (row.payload, row.metadata) == (job.payload, {"a": [1]})
    assert row.dispatched_at == row.available_at == row.created_at
    assert moves_of(database, job.id) == [(None, "queued")]


def test_the_row_and_its_transition_stand_or_fall_together(database: Database) -> None:
    job = new_job()

    def add_and_die() -> None:
        with database.begin() as connection:
            submissions.add(connection, [job], dispatched=True, actor="api")
            assert connection.scalar(select(func.count()).select_from(job_transitions)) == 1
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        add_and_die()
    assert _count(database) == 0
    assert moves_of(database, job.id) == []


def test_no_jobs_are_no_statement(database: Database) -> None:
    assert _add(database) == []


def test_a_job_for_later_is_not_dispatched(database: Database) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)
    job = new_job(run_at=run_at)

    (stored,) = _add(database, job)

    assert not stored.dispatched
    row = row_of(database, job.id)
    assert (row.dispatched_at, row.available_at) == (EPOCH, run_at)
    with database.begin() as connection:
        assert relay.take_due(connection, 10) == []
    with database.shifted(3_601).begin() as connection:
        assert [due.job_id for due in relay.take_due(connection, 10)] == [job.id]


def test_a_job_whose_time_has_passed_is_dispatched_at_once(database: Database) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) - timedelta(hours=1)
    (stored,) = _add(database, new_job(run_at=run_at))

    assert stored.dispatched
    assert row_of(database, stored.job_id).available_at > run_at


def test_a_job_accepted_while_redis_is_down_is_due_at_once(database: Database) -> None:
    (stored,) = _add(database, new_job(), dispatched=False)

    assert not stored.dispatched
    with database.begin() as connection:
        assert [due.job_id for due in relay.take_due(connection, 10)] == [stored.job_id]


def test_its_time_to_live_counts_from_when_it_may_run(database: Database) -> None:
    with database.read() as connection:
        run_at = sql_time(connection) + timedelta(hours=1)
    (stored,) = _add(database, new_job(run_at=run_at, ttl_s=60))

    assert row_of(database, stored.job_id).expires_at == run_at + timedelta(seconds=60)


def test_the_same_key_and_request_give_the_first_job(database: Database) -> None:
    first, again = new_job(idempotency_key="k"), new_job(idempotency_key="k")
    _add(database, first)

    (stored,) = _add(database, again)

    assert stored == Stored(first.id, created=False, same_request=True)
    assert _count(database) == 1


def test_the_same_key_with_another_request_is_a_conflict(database: Database) -> None:
    first = new_job(idempotency_key="k")
    _add(database, first)

    (stored,) = _add(database, new_job(idempotency_key="k", request_hash="other"))

    assert stored == Stored(first.id, created=False, same_request=False)
    assert _count(database) == 1


def test_two_users_may_use_the_same_key(database: Database) -> None:
    outcomes = _add(
        database,
        new_job(user_id=1, idempotency_key="k"),
        new_job(user_id=2, idempotency_key="k", request_hash="other"),
    )

    assert all(stored.created for stored in outcomes)


@pytest.mark.parametrize("second_user", [None, 0])
def test_jobs_without_a_user_share_their_keys(database: Database, second_user: int | None) -> None:
    first = new_job(user_id=None, idempotency_key="k")
    _add(database, first)

    (stored,) = _add(database, new_job(user_id=second_user, idempotency_key="k"))

    assert (stored.job_id, stored.created) == (first.id, False)


def test_jobs_without_a_key_never_collide(database: Database) -> None:
    assert all(stored.created for stored in _add(database, new_job(), new_job()))


def test_a_repeated_id_is_the_same_job(database: Database) -> None:
    _add(database, new_job(id="given"))

    (same,) = _add(database, new_job(id="given"))
    (other,) = _add(database, new_job(id="given", request_hash="other"))

    assert same == Stored("given", created=False, same_request=True)
    assert other == Stored("given", created=False, same_request=False)
    assert moves_of(database, "given") == [(None, "queued")]


def test_an_unused_key_with_a_used_id_is_the_job_of_that_id(database: Database) -> None:
    _add(database, new_job(id="given"))

    (stored,) = _add(database, new_job(id="given", idempotency_key="fresh"))

    assert stored == Stored("given", created=False, same_request=True)


def test_a_batch_that_repeats_a_key_stores_one_job(database: Database) -> None:
    first = new_job(idempotency_key="k")
    outcomes = _add(
        database,
        first,
        new_job(),
        new_job(idempotency_key="k"),
        new_job(idempotency_key="k", request_hash="other"),
    )

    assert [stored.created for stored in outcomes] == [True, True, False, False]
    assert [stored.same_request for stored in outcomes] == [True, True, True, False]
    assert outcomes[2].job_id == outcomes[3].job_id == first.id
    assert _count(database) == 2


def test_a_batch_that_repeats_an_id_stores_and_dispatches_one_job(database: Database) -> None:
    outcomes = _add(
        database,
        new_job(id="given", payload={"query": "first"}),
        new_job(id="given", payload={"query": "first"}),
        new_job(id="given", payload={"query": "other"}, request_hash="other"),
    )

    assert [stored.created for stored in outcomes] == [True, False, False]
    assert [stored.dispatched for stored in outcomes] == [True, False, False]
    assert [stored.same_request for stored in outcomes] == [True, True, False]
    assert row_of(database, "given").payload == {"query": "first"}
    assert moves_of(database, "given") == [(None, "queued")]


def test_the_outcomes_of_a_large_batch_are_in_the_order_given(database: Database) -> None:
    new_jobs = [new_job() for _ in range(1_000)]

    outcomes = _add(database, *new_jobs)

    assert [stored.job_id for stored in outcomes] == [job.id for job in new_jobs]
    assert _count(database) == 1_000


def test_the_same_key_from_many_clients_at_once_makes_one_job(database: Database) -> None:
    together = threading.Barrier(6)

    def submit(_: int) -> Stored:
        together.wait(timeout=10)
        return _add(database, new_job(idempotency_key="k"))[0]

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(submit, range(6)))

    assert sum(stored.created for stored in outcomes) == 1
    assert len({stored.job_id for stored in outcomes}) == 1
    assert _count(database) == 1


def test_tickets_that_did_not_reach_redis_are_due(database: Database) -> None:
    pushed, lost = add_job(database), add_job(database)

    with database.begin() as connection:
        submissions.mark_not_dispatched(connection, [ticket(lost)])

    assert row_of(database, lost).dispatched_at == EPOCH
    assert row_of(database, pushed).dispatched_at > EPOCH


def test_a_job_that_moved_on_is_not_marked_as_due(database: Database) -> None:
    running = claimed(database).job_id
    newer = add_job(database, dispatched=False)
    with database.begin() as connection:
        relay.take_due(connection, 10)
        submissions.mark_not_dispatched(connection, [ticket(running), ticket(newer, seq=1)])

    assert row_of(database, running).dispatched_at > EPOCH
    assert row_of(database, newer).dispatched_at > EPOCH


def test_a_thousand_tickets_are_marked_in_one_statement(database: Database) -> None:
    new_jobs = [new_job() for _ in range(1_000)]
    _add(database, *new_jobs)

    with database.begin() as connection:
        submissions.mark_not_dispatched(connection, [ticket(job.id) for job in new_jobs])
        due = connection.scalar(
            select(func.count()).select_from(jobs).where(jobs.c.dispatched_at == EPOCH)
        )
    assert due == 1_000
