from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import NotFoundError
from app.jobs.status import JobStatus
from app.store import control
from app.store.control import EXTERNAL
from app.store.database import EPOCH, Database
from queues.ticket import Ticket
from tests.factories import add_job, claimed, ended, moves_of, row_of, try_claim, waiting


def _reopen(database: Database, job_id: str, *, dispatched: bool = True) -> Ticket:
    with database.begin() as connection:
        row = control.locked(connection, job_id)
        return control.reopen(connection, row, "api", dispatched=dispatched)


def test_a_job_that_does_not_exist_cannot_be_locked(database: Database) -> None:
    with pytest.raises(NotFoundError, match="nobody"), database.begin() as connection:
        control.locked(connection, "nobody")


def test_the_ticket_of_a_row_is_that_of_its_present_generation(database: Database) -> None:
    job_id = add_job(database)
    _ = waiting(database)
    with database.begin() as connection:
        ticket = control.ticket_of(control.locked(connection, job_id))

    assert ticket == Ticket(job_id, 1, "intent_classify", "llm_intent")


def test_cancelling_a_running_job_takes_its_lease(database: Database) -> None:
    claim = claimed(database)
    with database.begin() as connection:
        control.cancel(connection, control.locked(connection, claim.job_id), "api")

    row = row_of(database, claim.job_id)
    assert (row.status, row.locked_by, row.lease_until) == ("cancelled", None, None)


def test_of_a_cancellation_and_a_claim_at_once_one_wins(database: Database) -> None:
    for _ in range(10):
        job_id = add_job(database)

        def cancel(job_id: str = job_id) -> None:
            with database.begin() as connection:
                row = control.locked(connection, job_id)
                control.cancel(connection, row, "api")

        with ThreadPoolExecutor(2) as pool:
            cancelling = pool.submit(cancel)
            claiming = pool.submit(try_claim, database, job_id)
            cancelling.result()
            claim = claiming.result()

        row = row_of(database, job_id)
        assert (row.status, row.locked_by) == ("cancelled", None)
        expected = [(None, "queued"), ("queued", "cancelled")]
        if claim is not None:
            expected = [(None, "queued"), ("queued", "processing"), ("processing", "cancelled")]
        assert moves_of(database, job_id) == expected


def test_reopening_grants_one_more_failure_and_makes_a_new_ticket(database: Database) -> None:
    job_id = ended(database, JobStatus.FAILED, max_attempts=1, ttl_s=60)

    ticket = _reopen(database, job_id)

    row = row_of(database, job_id)
    assert (row.status, row.failures, row.max_attempts) == ("queued", 1, 2)
    assert (row.seq, ticket.seq, row.expires_at, row.finished_at) == (2, 2, None, None)
    assert row.dispatched_at > EPOCH
    assert row.error_code == "invalid_answer", "the last error stays to be read"


def test_reopening_without_a_push_leaves_the_job_due(database: Database) -> None:
    job_id = ended(database, JobStatus.ERROR)

    _reopen(database, job_id, dispatched=False)

    assert row_of(database, job_id).dispatched_at == EPOCH


def test_reopening_keeps_attempts_that_are_left(database: Database) -> None:
    job_id = ended(database, JobStatus.ERROR, max_attempts=5)

    _reopen(database, job_id)

    assert row_of(database, job_id).max_attempts == 5


def test_a_waiting_job_is_reopened_without_a_transition(database: Database) -> None:
    job_id = waiting(database, wait_s=3_600)
    before = moves_of(database, job_id)

    _reopen(database, job_id)

    assert moves_of(database, job_id) == before
    assert try_claim(database, job_id, seq=2) is not None


def test_an_external_claim_is_known_by_its_token(database: Database) -> None:
    external, ours = add_job(database), claimed(database).job_id
    with database.begin() as connection:
        row = control.locked(connection, external)
        begun = control.claim_externally(connection, row, f"{EXTERNAL}1", "api", 60)

        assert begun.attempt == 1
        found = control.external_claim(control.locked(connection, external), "api")
        assert found == begun
        assert control.external_claim(control.locked(connection, ours), "api") is None
        assert control.external_claim(row, "api") is None
    assert row_of(database, external).seq == 2
