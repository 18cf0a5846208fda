"""The states of a job and the transitions between them: the one place that says what is legal.

Who moves a job out of each state:

- ``queued``: a worker claims it, a client cancels it, maintenance ends it when it has expired.
- ``processing``: the worker that holds its lease finishes it; maintenance takes it back when the
  lease has run out; a client cancels it.
- ``failed`` (attempts used up) and ``error`` (retrying cannot help): a person only, by a retry in
  the API or CLI, or by requeueing the ticket in an RQ tool.
- ``completed`` and ``cancelled``: nobody; they are final.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """The state of a job, as the API, the database and the metrics spell it."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when no machine moves the job any more (a person may: see ``TRANSITIONS``)."""
        return self not in (JobStatus.QUEUED, JobStatus.PROCESSING)


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED, JobStatus.ERROR}),
    JobStatus.PROCESSING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.ERROR,
            JobStatus.CANCELLED,
            JobStatus.QUEUED,
        }
    ),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.ERROR: frozenset({JobStatus.QUEUED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


def is_legal(source: JobStatus, target: JobStatus) -> bool:
    """True when a job may move from ``source`` to ``target``."""
    return target in TRANSITIONS[source]


def legal_next(source: JobStatus) -> list[str]:
    """The states that ``source`` may move to, sorted, as a client reads them."""
    return sorted(TRANSITIONS[source])
