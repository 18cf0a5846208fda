"""``/llm_jobs/batch``: many jobs in one request, each accepted or refused by itself."""

from apiflask import APIBlueprint
from pydantic import ValidationError

from app.api import problems
from app.api.batch_reader import Entry, read_array, read_lines
from app.api.job_models import BatchErrorOut, BatchJobIn, BatchOut
from app.api.requests import MAX_BATCH_BYTES, current
from app.api.services import services
from app.errors import InvalidInputError, LlmJobsError, TooLargeError
from app.intake import Refused
from app.submission import Submission

blueprint = APIBlueprint("job_batches", __name__, url_prefix="/llm_jobs", tag="Jobs")

MAX_JOBS = 10_000
JSON_LINES = "application/x-ndjson"


@blueprint.post("/batch")
@blueprint.output(BatchOut, status_code=201, description="What became of each job")
@blueprint.doc(
    responses={
        400: "The body is not a JSON array; nothing was accepted",
        413: "Over 10,000 jobs or 64 MB; nothing was accepted",
        415: "Neither application/json nor application/x-ndjson",
    }
)
def submit_many() -> BatchOut:
    """Submit up to 10,000 jobs, as a JSON array or as JSONL.

    A job that is wrong is refused alone. After an answer that got lost, send the same again: jobs
    with an ``idempotency_key`` are not submitted twice.
    """
    outcome = services().intake.submit_many(_read())
    return BatchOut(
        accepted=outcome.accepted,
        jobs=outcome.job_ids,
        errors=[
            BatchErrorOut(index=refused.index, code=refused.code, detail=refused.detail)
            for refused in outcome.errors
        ],
    )


def _read() -> list[Submission | Refused]:
    """The whole batch, before any of it is submitted: a body cut off submits nothing."""
    request = current()
    request.max_content_length = MAX_BATCH_BYTES
    media_type = request.require_media_type("application/json", JSON_LINES)
    read = read_array if media_type == "application/json" else read_lines
    entries: list[Submission | Refused] = []
    for index, entry in enumerate(read(request.stream)):
        if index == MAX_JOBS:
            raise TooLargeError(f"At most {MAX_JOBS:,} jobs a batch; nothing was accepted.")
        entries.append(_submission(index, entry))
    return entries


def _submission(index: int, entry: Entry) -> Submission | Refused:
    if isinstance(entry, LlmJobsError):
        return Refused(index, entry.code, entry.message)
    if not isinstance(entry, dict):
        return Refused(index, InvalidInputError.code, "The entry must be a JSON object.")
    try:
        return Submission(**dict(BatchJobIn.model_validate(entry)))
    except ValidationError as error:
        problem = problems.invalid(error)
        return Refused(index, problem.code, problem.message)
