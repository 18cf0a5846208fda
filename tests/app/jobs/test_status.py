import pytest

from app.jobs.status import TRANSITIONS, JobStatus, is_legal, legal_next


def test_states_are_spelt_as_the_contract_spells_them() -> None:
    assert list(JobStatus) == ["queued", "processing", "completed", "failed", "error", "cancelled"]


def test_only_waiting_and_running_jobs_are_not_final() -> None:
    assert [status for status in JobStatus if not status.is_final] == ["queued", "processing"]


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.CANCELLED])
def test_nothing_leaves_a_completed_or_cancelled_job(status: JobStatus) -> None:
    assert legal_next(status) == []


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.ERROR])
def test_a_person_may_open_what_ended_badly(status: JobStatus) -> None:
    assert legal_next(status) == ["queued"]


def test_the_legal_next_states_are_sorted_for_reading() -> None:
    assert legal_next(JobStatus.QUEUED) == ["cancelled", "error", "processing"]
    assert legal_next(JobStatus.PROCESSING) == [
        "cancelled",
        "completed",
        "error",
        "failed",
        "queued",
    ]


def test_a_move_is_legal_exactly_when_the_table_has_it() -> None:
    for source in JobStatus:
        for target in JobStatus:
            assert is_legal(source, target) == (target in TRANSITIONS[source])


def test_no_state_leads_to_itself() -> None:
    assert not any(is_legal(status, status) for status in JobStatus)
