"""A database that goes away in the middle of a batch."""

from contextlib import contextmanager

import pytest

from app import intake as intake_module
from app.errors import DatabaseUnavailableError
from app.intake import Intake
from app.submission import Submission
from tests.factories import row_of
from tests.relays import DEAD_URL, dispatcher_of

ENTRIES = [Submission("followup", {"message": f"number {n}"}) for n in range(5)]


class Failing:
    """A database whose transactions fail from the nth on."""

    def __init__(self, database, works):
        self._database = database
        self._works = works

    @contextmanager
    def begin(self):
        self._works -= 1
        if self._works < 0:
            raise DatabaseUnavailableError("away")
        with self._database.begin() as connection:
            yield connection


@pytest.fixture(autouse=True)
def _slices_of_two(monkeypatch):
    monkeypatch.setattr(intake_module, "BATCH_SLICE", 2)


def test_what_was_stored_is_told_from_what_must_be_sent_again(sqlite_database, make_settings):
    # Redis is away, too: each slice then marks its jobs as due in a second transaction.
    failing = Failing(sqlite_database, works=2)
    intake = Intake(failing, dispatcher_of(DEAD_URL), make_settings())

    outcome = intake.submit_many(ENTRIES)

    assert len(outcome.job_ids) == 2
    for job_id in outcome.job_ids:
        assert row_of(sqlite_database, job_id).status == "queued"
    assert [error.index for error in outcome.errors] == [2, 3, 4]
    assert {error.code for error in outcome.errors} == {"database_unavailable"}


def test_a_batch_of_which_nothing_was_stored_is_an_error_as_a_whole(sqlite_database, make_settings):
    intake = Intake(Failing(sqlite_database, works=0), dispatcher_of(DEAD_URL), make_settings())
    with pytest.raises(DatabaseUnavailableError):
        intake.submit_many(ENTRIES)
