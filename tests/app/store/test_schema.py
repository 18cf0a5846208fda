"""The database itself enforces the engine's invariants, whatever the code above it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError

from app.jobs.status import TRANSITIONS, JobStatus, is_legal
from app.store.database import Database, sql_time
from app.store.schema import job_transitions, jobs
from tests.factories import add_job, claimed, completed, ended

PAIRS = [(source, target) for source in (None, *JobStatus) for target in JobStatus]


def _allowed(source: JobStatus | None, target: JobStatus) -> bool:
    return target is JobStatus.QUEUED if source is None else is_legal(source, target)


@contextmanager
def _refused(database: Database, constraint: str) -> Iterator[Connection]:
    with pytest.raises(IntegrityError, match=constraint), database.begin() as connection:
        yield connection


def _move(connection: Connection, job_id: str, attempt: int, **columns: Any) -> None:
    columns = {"actor": "test", "at": sql_time(connection)} | columns
    connection.execute(insert(job_transitions).values(job_id=job_id, attempt=attempt, **columns))


def test_the_database_accepts_every_legal_transition(database: Database) -> None:
    with database.begin() as connection:
        for number, (source, target) in enumerate(PAIRS):
            if not _allowed(source, target):
                continue
            job_id = f"job-{number}"
            _insert_bare_job(connection, job_id)
            _move(connection, job_id, 1, from_status=source, to_status=target)


@pytest.mark.parametrize("source", [None, *JobStatus])
def test_the_database_rejects_every_illegal_transition(
    database: Database, source: JobStatus | None
) -> None:
    job_id = add_job(database)
    illegal = [target for target in JobStatus if not _allowed(source, target)]
    assert illegal
    for target in illegal:
        with _refused(database, "ck_job_transitions_legal") as connection:
            _move(connection, job_id, 1, from_status=source, to_status=target)


def test_the_database_rejects_states_that_do_not_exist(database: Database) -> None:
    job_id = add_job(database)

    with _refused(database, "ck_job_transitions_legal") as connection:
        _move(connection, job_id, 1, from_status="queued", to_status="done")
    with _refused(database, "ck_jobs_status") as connection:
        connection.execute(update(jobs).values(status="done"))


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(JobStatus)


def _insert_bare_job(connection: Connection, job_id: str, **columns: Any) -> None:
    now = sql_time(connection)
    defaults: dict[str, Any] = {
        "id": job_id,
        "job_type": "intent_classify",
        "queue": "llm_intent",
        "status": "queued",
        "priority": "normal",
        "payload": {},
        "seq": 1,
        "attempts": 0,
        "failures": 0,
        "max_attempts": 5,
        "deferrals": 0,
        "available_at": now,
        "dispatched_at": now,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(insert(jobs).values(**(defaults | columns)))


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize("token", [None, "token"])
@pytest.mark.parametrize("has_lease", [True, False])
def test_a_job_has_a_token_and_a_lease_exactly_while_it_runs(
    sqlite_database: Database, status: JobStatus, token: str | None, has_lease: bool
) -> None:
    _check_lease(sqlite_database, status, token, has_lease)


@pytest.mark.parametrize("status", [JobStatus.PROCESSING, JobStatus.QUEUED])
def test_postgresql_too_ties_the_lease_to_the_state(database: Database, status: JobStatus) -> None:
    for token in (None, "token"):
        for has_lease in (True, False):
            _check_lease(database, status, token, has_lease)


def _check_lease(database: Database, status: JobStatus, token: str | None, has_lease: bool) -> None:
    runs = status is JobStatus.PROCESSING
    is_right = (token is not None) == runs and has_lease == runs
    with database.read() as connection:
        now = sql_time(connection)
    columns = {
        "status": status,
        "locked_by": token,
        "lease_until": now if has_lease else None,
        "finished_at": now if status.is_final else None,
    }
    job_id = f"{status}-{token}-{has_lease}"
    if is_right:
        with database.begin() as connection:
            _insert_bare_job(connection, job_id, **columns)
    else:
        with _refused(database, "ck_jobs_lease") as connection:
            _insert_bare_job(connection, job_id, **columns)


@pytest.mark.parametrize("status", [status for status in JobStatus if status.is_final])
def test_a_job_has_an_end_exactly_when_it_is_final(database: Database, status: JobStatus) -> None:
    with _refused(database, "ck_jobs_finished") as connection:
        _insert_bare_job(connection, "unfinished", status=status)
    with database.begin() as connection:
        _insert_bare_job(connection, "finished", status=status, finished_at=sql_time(connection))
    with _refused(database, "ck_jobs_finished") as connection:
        _insert_bare_job(connection, "queued", finished_at=sql_time(connection))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 0},
        {"attempts": -1},
        {"failures": -1},
        {"failures": 2, "attempts": 1},
        {"max_attempts": 0},
        {"deferrals": -1},
    ],
)
def test_counts_are_within_bounds(database: Database, wrong: dict[str, int]) -> None:
    with _refused(database, "ck_jobs_counts") as connection:
        _insert_bare_job(connection, "wrong", **wrong)


def test_a_priority_is_one_of_three(database: Database) -> None:
    with _refused(database, "ck_jobs_priority") as connection:
        _insert_bare_job(connection, "wrong", priority="urgent")


def test_a_job_completes_once(database: Database) -> None:
    job_id = completed(database)

    with _refused(database, "uq_job_transitions_completed|job_transitions.job_id") as connection:
        _move(connection, job_id, 2, from_status="processing", to_status="completed")


def test_an_attempt_ends_once(database: Database) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        _move(connection, claim.job_id, 1, from_status="processing", to_status="queued")

    with _refused(database, "uq_job_transitions_attempt|job_transitions.attempt") as connection:
        _move(connection, claim.job_id, 1, from_status="processing", to_status="failed")
    with database.begin() as connection:
        _move(connection, claim.job_id, 2, from_status="processing", to_status="failed")


def test_an_id_is_used_once(database: Database) -> None:
    job_id = add_job(database)

    with _refused(database, "pk_jobs|jobs.id") as connection:
        _insert_bare_job(connection, job_id)


def test_an_idempotency_key_is_used_once_per_user(database: Database) -> None:
    add_job(database, user_id=None, idempotency_key="k")

    with _refused(database, "uq_jobs_idempotency") as connection:
        _insert_bare_job(connection, "second", user_id=None, idempotency_key="k")
    with _refused(database, "uq_jobs_idempotency") as connection:
        _insert_bare_job(connection, "third", user_id=0, idempotency_key="k")
    with database.begin() as connection:
        _insert_bare_job(connection, "fourth", user_id=1, idempotency_key="k")


def test_deleting_a_job_deletes_its_history(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED)

    with database.begin() as connection:
        connection.execute(jobs.delete().where(jobs.c.id == job_id))
        assert connection.execute(job_transitions.select()).all() == []


def test_a_transition_belongs_to_a_job(database: Database) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.begin() as connection:
        _move(connection, "nobody", 0, to_status="queued")


def test_times_keep_their_microseconds_and_their_zone(database: Database) -> None:
    with database.begin() as connection:
        at = sql_time(connection).replace(microsecond=123_456) + timedelta(days=400)
        _insert_bare_job(connection, "later", available_at=at)
        found = connection.scalar(jobs.select().with_only_columns(jobs.c.available_at))

    assert found == at
    assert found.utcoffset() == timedelta(0)
