"""People, clocks and outages at the worst moment: what once lost, doubled or wedged something."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rq.timeouts import JobTimeoutException

from app.errors import DatabaseUnavailableError
from app.store import outcomes, submissions
from app.store.database import Database, open_database
from app.store.outcomes import Report
from tests.factories import (
    LATER,
    PROBLEM,
    add_job,
    claimed,
    new_job,
    row_of,
    set_columns,
    try_claim,
)
from tests.fakes import FakeLLM
from tests.followups import FOLLOWUP
from tests.relays import relay_of
from workers import runner
from workers.runner import JobFailed, run


def test_a_person_who_requeues_a_job_that_waited_too_long_for_its_llm_gives_it_a_new_start(
    database,
):
    claim = claimed(database)
    with database.begin() as connection:
        assert outcomes.defer(connection, claim, PROBLEM, Report(), 1.0)
    set_columns(database, [claim.job_id], status="failed", finished_at=claim.started_at)

    again = try_claim(database, claim.job_id, enqueued_at=LATER)

    assert again is not None
    assert (again.deferrals, again.deferred_since) == (0, None)


def test_two_batches_with_the_same_keys_in_another_order_do_not_deadlock(postgres_url):
    database = open_database(postgres_url)
    keys = ["key-1", "key-2"]
    errors: list[Exception] = []

    def submit(order: list[str]) -> None:
        batch = [new_job(idempotency_key=key) for key in order]
        try:
            with database.begin() as connection:
                submissions.add(connection, batch, dispatched=False, actor="api")
        except Exception as error:  # noqa: BLE001 - the test says which
            errors.append(error)

    # The rows of one statement go in one by one; the trigger makes time for the other batch.
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER slow BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    threads = [threading.Thread(target=submit, args=(order,)) for order in (keys, keys[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.forget_connections()
    assert errors == []


def test_leases_are_left_alone_when_everything_froze_in_mid_tick(database, redis_url, monkeypatch):
    claim = claimed(database)
    relay = relay_of(database, redis_url)

    def freeze() -> None:
        relay._database = database.shifted(60)

    monkeypatch.setattr(relay, "_expire", freeze)
    relay.tick()
    relay.tick()
    assert row_of(database, claim.job_id).status == "processing"


def test_leases_are_left_alone_when_everything_froze_just_before_they_are_looked_for(
    database, redis_url, monkeypatch
):
    claim = claimed(database)
    relay = relay_of(database, redis_url)
    take_back = relay._take_back_leases

    def freeze_first() -> None:
        relay._database = database.shifted(60)
        take_back()

    monkeypatch.setattr(relay, "_take_back_leases", freeze_first)
    relay.tick()
    relay.tick()
    assert row_of(database, claim.job_id).status == "processing"


def test_nothing_but_a_code_leaves_the_runner_when_the_database_became_read_only(
    postgres_url, install, monkeypatch
):
    database = open_database(postgres_url)
    install(database, None)
    job_id = add_job(database, **FOLLOWUP)
    with database.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.forget_connections()
    monkeypatch.setattr(runner, "CLAIM_PATIENCE_S", 0.1)
    with pytest.raises(JobFailed, match=r"^database_unavailable$") as raised:
        run(job_id, 1)
    database.forget_connections()
    assert raised.value.__context__ is None


def test_a_time_out_during_the_claim_leaves_the_runner_as_a_code(
    sqlite_database, install, monkeypatch
):
    def stopped(*_: Any, **__: Any) -> None:
        raise JobTimeoutException("too long")

    install(sqlite_database, None)
    monkeypatch.setattr("workers.runner.claims.claim", stopped)
    with pytest.raises(JobFailed, match=r"^job_timeout$") as raised:
        run(add_job(sqlite_database, **FOLLOWUP), 1)
    assert raised.value.__context__ is None


def test_an_error_that_nobody_expects_leaves_the_runner_as_a_code_alone(
    sqlite_database, install, monkeypatch, caplog
):
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("with the prompt in its text")

    install(sqlite_database, None)
    monkeypatch.setattr("workers.runner.claims.claim", broken)
    with pytest.raises(JobFailed, match=r"^internal_error$") as raised:
        run(add_job(sqlite_database, **FOLLOWUP), 1)
    assert raised.value.__context__ is None
    assert "ValueError at" in caplog.text
    assert "prompt" not in caplog.text


class LateCommit:
    """A database whose first commit arrives after the connection has broken."""

    def __init__(self, database: Database, late_s: float) -> None:
        self._database = database
        self._late_s = late_s
        self._is_first = True

    @contextmanager
    def begin(self) -> Iterator[Any]:
        if not self._is_first:
            with self._database.begin() as connection:
                yield connection
            return
        self._is_first = False
        connection = self._database.engine.connect()
        transaction = connection.begin()
        yield connection

        def arrive() -> None:
            transaction.commit()
            connection.invalidate()
            connection.close()

        threading.Timer(self._late_s, arrive).start()
        raise DatabaseUnavailableError("The connection broke.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def test_a_claim_whose_commit_arrives_while_it_is_repeated_is_ours(postgres_url, install):
    database = open_database(postgres_url)
    late: Any = LateCommit(database, 1.0)
    install(late, FakeLLM("Which bike?"))
    job_id = add_job(database, **FOLLOWUP)

    run(job_id, 1)

    row = row_of(database, job_id)
    database.forget_connections()
    assert (row.status, row.attempts) == ("completed", 1)
