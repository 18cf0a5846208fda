import re

import pytest

import app.errors
from app.errors import IllegalTransitionError, LlmJobsError
from app.jobs.status import JobStatus


def _tree(error: type[LlmJobsError]) -> list[type[LlmJobsError]]:
    return [error, *(found for child in error.__subclasses__() for found in _tree(child))]


DRAWN = [error for error in _tree(LlmJobsError) if error.__module__ == "app.errors"]


@pytest.mark.parametrize("error", DRAWN)
def test_the_drawn_tree_is_the_real_one(error: type[LlmJobsError]) -> None:
    drawn = re.search(rf"{error.__name__}\s+(\d+) (\w+)", app.errors.__doc__ or "")

    assert drawn is not None
    assert (int(drawn[1]), drawn[2]) == (error.status, error.code)


def test_an_illegal_move_names_what_is_legal() -> None:
    error = IllegalTransitionError.between(JobStatus.QUEUED, "completed")

    assert error.message == (
        "The job is queued; it cannot become completed. "
        "It may become: cancelled, error, processing."
    )
    assert error.extra == {"legal": ["cancelled", "error", "processing"]}


def test_a_final_state_says_so() -> None:
    error = IllegalTransitionError.between(JobStatus.COMPLETED, "queued", "by PATCH")

    assert error.message == "The job is completed; it cannot become queued by PATCH. It is final."
    assert error.extra == {"legal": []}
