"""``/llm_jobs``: submit, read, wait, list, and steer jobs."""

import time

from apiflask import APIBlueprint

from app.api.job_models import (
    AttemptOut,
    HistoryOut,
    IdempotencyHeader,
    JobFilter,
    JobIn,
    JobOut,
    JobPatch,
    TransitionOut,
    Wait,
)
from app.api.paging import list_of
from app.api.services import services
from app.errors import NotFoundError
from app.external import Change
from app.store import job_queries
from app.store.rows import JobRow
from app.submission import Submission

blueprint = APIBlueprint("llm_jobs", __name__, url_prefix="/llm_jobs", tag="Jobs")

_FIRST_LOOK_S = 0.1
_LONGEST_LOOK_S = 1.0


@blueprint.post("")
@blueprint.input(JobIn)
@blueprint.input(IdempotencyHeader, location="headers")
@blueprint.output(JobOut, status_code=201, description="The job was accepted")
@blueprint.doc(
    responses={
        200: "The first job of this Idempotency-Key; nothing was submitted",
        409: "The Idempotency-Key was used with another body",
        413: "The body is over 1 MB",
        422: "Unknown job type, or a payload it does not accept",
    }
)
def submit(json_data: JobIn, headers_data: IdempotencyHeader) -> tuple[JobOut, int, dict[str, str]]:
    """Submit a job.

    It is stored before the answer is sent, also while Redis is down. With ``Idempotency-Key`` the
    same request can be sent again without a second job.
    """
    fields = dict(json_data)
    submission = Submission(**fields, idempotency_key=headers_data.idempotency_key)
    accepted = services().intake.submit(submission)
    location = {"Location": f"/llm_jobs/{accepted.job.id}"}
    return JobOut.of(accepted.job), 201 if accepted.created else 200, location


@blueprint.get("")
@blueprint.input(JobFilter, location="query")
@blueprint.output(list_of(JobOut))
def list_jobs(query_data: JobFilter) -> tuple[list[JobOut], int, dict[str, str]]:
    """List jobs, newest first.

    The header ``Link`` with ``rel="next"`` is there while more follow.
    """
    with services().database.read() as connection:
        jobs = job_queries.list_newest(
            connection,
            status=query_data.status,
            job_type=query_data.job_type,
            user_id=query_data.user_id,
            **query_data.window(),
        )
    page, headers = query_data.cut(jobs)
    return [JobOut.of(job) for job in page], 200, headers


@blueprint.get("/<job_id>")
@blueprint.input(Wait, location="query")
@blueprint.output(JobOut)
@blueprint.doc(responses={404: "There is no such job"})
def show(job_id: str, query_data: Wait) -> JobOut:
    """Read a job; with ``wait``, answer when it is final or the time is over."""
    deadline = time.monotonic() + query_data.wait
    pause_s = _FIRST_LOOK_S
    job = _find(job_id)
    while not job.status.is_final and (left_s := deadline - time.monotonic()) > 0:
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)
        job = _find(job_id)
    return JobOut.of(job)


def _find(job_id: str) -> JobRow:
    with services().database.read() as connection:
        job = job_queries.get(connection, job_id)
    if job is None:
        raise NotFoundError("There is no such job.")
    return job


@blueprint.patch("/<job_id>")
@blueprint.input(JobPatch)
@blueprint.output(JobOut)
@blueprint.doc(
    responses={
        404: "There is no such job",
        409: "The state machine does not allow it (legal: the next states), or a stale attempt",
    }
)
def change(job_id: str, json_data: JobPatch) -> JobOut:
    """Work on a job from outside this project.

    Claim it first with ``status: processing``, which takes a lease and starts an attempt; send the
    same again to renew the lease. Then finish it with ``completed`` and ``result``, or ``failed``,
    ``error`` and ``error_message``.
    """
    return JobOut.of(services().intake.change(job_id, Change(**dict(json_data))))


@blueprint.post("/<job_id>/cancel")
@blueprint.output(JobOut)
@blueprint.doc(responses={404: "There is no such job", 409: "The job is final"})
def cancel(job_id: str) -> JobOut:
    """Cancel a job that waits or runs; a running one's answer is thrown away."""
    return JobOut.of(services().intake.cancel(job_id))


@blueprint.post("/<job_id>/retry")
@blueprint.output(JobOut)
@blueprint.doc(responses={404: "There is no such job", 409: "The job is not failed or error"})
def retry(job_id: str) -> JobOut:
    """Open a job again that ended ``failed`` or ``error``, with one more failure granted."""
    return JobOut.of(services().intake.retry(job_id))


@blueprint.get("/<job_id>/history")
@blueprint.output(HistoryOut)
@blueprint.doc(responses={404: "There is no such job"})
def history(job_id: str) -> HistoryOut:
    """Tell what happened to a job: its transitions and attempts, oldest first."""
    with services().database.read() as connection:
        if job_queries.get(connection, job_id) is None:
            raise NotFoundError("There is no such job.")
        transitions, attempts = job_queries.history(connection, job_id)
    return HistoryOut(
        transitions=[TransitionOut.of(row) for row in transitions],
        attempts=[AttemptOut.of(row) for row in attempts],
    )
