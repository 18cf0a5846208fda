"""The relay's questions of each second are answered by the partial indexes made for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from app.store import outbox, relay
from app.store.database import EPOCH, Database, sql_time
from app.store.schema import job_transitions, jobs

ROWS = 3_000


def _fill(database: Database) -> None:
    """Many jobs in every state: what is asked for is the exception among them."""
    with database.begin() as connection:
        now = sql_time(connection)
        connection.execute(insert(jobs), [_job(number, now) for number in range(ROWS)])
        connection.execute(
            insert(job_transitions),
            [
                {
                    "job_id": f"job-{number}",
                    "attempt": 0,
                    "to_status": "queued",
                    "at": now,
                    "actor": "test",
                    "notification": {"a": 1} if number % 100 == 0 else None,
                    "published_at": now if number % 1_000 else None,
                }
                for number in range(ROWS)
            ],
        )
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


def _job(number: int, now: Any) -> dict[str, Any]:
    status = "completed" if number % 10 else "queued"
    if number % 100 == 1:
        status = "processing"
    runs, is_final = status == "processing", status == "completed"
    created_at = now - timedelta(seconds=number)
    return {
        "id": f"job-{number}",
        "job_type": "intent_classify",
        "queue": "llm_intent" if number % 20 else "llm_image_tag",
        "status": status,
        "priority": "normal",
        "payload": {},
        "seq": 1,
        "attempts": 1,
        "failures": 0,
        "max_attempts": 5,
        "deferrals": 0,
        "available_at": created_at,
        "dispatched_at": EPOCH if number % 50 == 0 else created_at,
        "lease_until": created_at if runs else None,
        "locked_by": f"token-{number}" if runs else None,
        "expires_at": created_at if number % 70 == 0 else None,
        "created_at": created_at,
        "updated_at": created_at,
        "finished_at": created_at if is_final else None,
    }


@contextmanager
def _statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The SQL that is sent, as it is sent: with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


def _plan(database: Database, ask: Callable[[Connection], object], marker: str) -> str:
    with _statements(database) as sent, database.begin() as connection:
        ask(connection)
    statement, parameters = next(entry for entry in sent if marker in entry[0])
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.begin() as connection:
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


def _lists(connection: Connection) -> object:
    # Where there is nothing to find a scan would read everything.
    return relay.lists_with_tickets(connection, ["llm_intent-low"])


def _lost(connection: Connection) -> object:
    now = sql_time(connection)
    return relay.take_lost(connection, "llm_intent", now, 2_000.0, 100)


QUESTIONS: list[tuple[str, str, Callable[[Connection], object]]] = [
    ("ix_jobs_lease", "lease_until <=", lambda c: relay.expired_leases(c, 100)),
    ("ix_jobs_due", "ORDER BY jobs.available_at", lambda c: relay.take_due(c, 100)),
    ("ix_jobs_dispatched", "ORDER BY jobs.dispatched_at", _lost),
    ("ix_jobs_dispatched", "jobs.queue =", _lists),
    ("ix_jobs_expires", "expires_at <=", lambda c: relay.overdue(c, 100)),
    ("ix_job_transitions_outbox", "notification IS NOT NULL", lambda c: outbox.unpublished(c, 100)),
]


@pytest.mark.parametrize(
    ("index", "marker", "ask"),
    QUESTIONS,
    ids=["leases", "due", "lost", "lists", "expired", "outbox"],
)
def test_a_question_of_the_relay_is_answered_by_its_partial_index(
    database: Database, index: str, marker: str, ask: Callable[[Connection], object]
) -> None:
    _fill(database)

    plan = _plan(database, ask, marker)

    assert index in plan, plan
    assert "Seq Scan on job" not in plan
    assert "TEMP B-TREE" not in plan, "the rows are to come in the index's order, unsorted"
