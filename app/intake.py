"""The one way in: validate, commit, dispatch. Also what a client may do to a job later.

A job is accepted when its row is committed. Its ticket is pushed after that, best effort: what
Redis does not take stands in SQL as due, and maintenance pushes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.errors import (
    DatabaseUnavailableError,
    IdempotencyConflictError,
    IllegalTransitionError,
    LlmJobsError,
)
from app.external import Change, apply_change
from app.jobs.status import JobStatus, legal_next
from app.settings import Settings
from app.store import control, job_queries, submissions
from app.store.database import Database
from app.store.rows import JobRow
from app.submission import Submission, checked
from queues.dispatch import Dispatcher
from queues.ticket import Ticket

ACTOR = "api"
BATCH_SLICE = 1_000


@dataclass(frozen=True)
class Accepted:
    """An accepted job; ``created`` is False for the first job of a repeated request."""

    job: JobRow
    created: bool


@dataclass(frozen=True)
class Refused:
    """One refused entry of a batch."""

    index: int
    code: str
    detail: str


@dataclass(frozen=True)
class BatchOutcome:
    """What became of a batch: the accepted jobs' ids in input order, and the refused entries."""

    job_ids: list[str]
    errors: list[Refused]

    @property
    def accepted(self) -> int:
        """How many jobs stand, those of repeated requests included."""
        return len(self.job_ids)


class Intake:
    """Accepts jobs and what clients do to them. Threads may share it."""

    def __init__(self, database: Database, dispatcher: Dispatcher, settings: Settings) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._settings = settings

    def submit(self, submission: Submission) -> Accepted:
        """Accept a job, also while Redis is down.

        Raises ``UnknownJobTypeError``, ``InvalidInputError`` with one entry per wrong field, and
        ``IdempotencyConflictError``.
        """
        new_job = self._checked(submission)
        dispatch = not self._dispatcher.is_resting
        with self._database.begin() as connection:
            (stored,) = submissions.add(connection, [new_job], dispatched=dispatch, actor=ACTOR)
            job = job_queries.get(connection, stored.job_id)
        assert job is not None
        if not stored.same_request:
            raise _conflict(new_job)
        if stored.dispatched:
            self._push([Ticket(job.id, job.seq, job.job_type, job.queue)])
        return Accepted(job, stored.created)

    def submit_many(self, entries: Sequence[Submission | Refused]) -> BatchOutcome:
        """Accept a batch: one transaction and one push for each 1,000 jobs.

        An entry that is wrong is refused alone. ``entries`` may hold refusals of the caller's,
        which are passed through with their index.
        """
        outcome = BatchOutcome([], [])
        for start in range(0, len(entries), BATCH_SLICE):
            try:
                self._submit_slice(entries[start : start + BATCH_SLICE], start, outcome)
            except DatabaseUnavailableError:
                if start == 0:
                    raise
                _refuse_rest(outcome, start, len(entries))
                break
        return outcome

    def _submit_slice(
        self, entries: Sequence[Submission | Refused], start: int, outcome: BatchOutcome
    ) -> None:
        good: list[tuple[int, submissions.NewJob]] = []
        for index, entry in enumerate(entries, start):
            if isinstance(entry, Refused):
                outcome.errors.append(replace(entry, index=index))
                continue
            try:
                good.append((index, self._checked(entry)))
            except LlmJobsError as error:
                outcome.errors.append(Refused(index, error.code, _in_words(error)))
        dispatch = not self._dispatcher.is_resting
        new_jobs = [new_job for _index, new_job in good]
        with self._database.begin() as connection:
            stored = submissions.add(connection, new_jobs, dispatched=dispatch, actor=ACTOR)
        tickets = []
        for (index, new_job), entry_stored in zip(good, stored, strict=True):
            if not entry_stored.same_request:
                conflict = _conflict(new_job)
                outcome.errors.append(Refused(index, conflict.code, conflict.message))
                continue
            outcome.job_ids.append(entry_stored.job_id)
            if entry_stored.dispatched:
                tickets.append(Ticket(new_job.id, 1, new_job.job_type, new_job.queue))
        self._push(tickets)

    def cancel(self, job_id: str) -> JobRow:
        """Cancel a queued or running job; a running attempt's answer is then thrown away.

        Raises ``NotFoundError`` and, for a job that has ended, ``IllegalTransitionError``.
        """
        with self._database.begin() as connection:
            row = control.locked(connection, job_id)
            status = JobStatus(row.status)
            if JobStatus.CANCELLED not in legal_next(status):
                raise IllegalTransitionError.between(status, JobStatus.CANCELLED)
            control.cancel(connection, row, ACTOR)
            ticket = control.ticket_of(row)
            job = job_queries.get(connection, job_id)
        self._dispatcher.withdraw(ticket, running=status is JobStatus.PROCESSING)
        assert job is not None
        return job

    def retry(self, job_id: str) -> JobRow:
        """Run a ``failed`` or ``error`` job again, or one that waits for its retry now.

        It may fail once more at least. Raises ``NotFoundError`` and ``IllegalTransitionError``.
        """
        dispatch = not self._dispatcher.is_resting
        with self._database.begin() as connection:
            row = control.locked(connection, job_id)
            status = JobStatus(row.status)
            job = job_queries.to_job(row)
            waits = job.next_attempt_at is not None
            if status not in (JobStatus.FAILED, JobStatus.ERROR) and not waits:
                raise IllegalTransitionError.between(status, JobStatus.QUEUED)
            ticket = control.reopen(connection, row, ACTOR, dispatched=dispatch)
            reopened = job_queries.get(connection, job_id)
        if dispatch:
            self._push([ticket])
        self._dispatcher.withdraw(ticket.previous(), running=False)
        assert reopened is not None
        return reopened

    def change(self, job_id: str, change: Change) -> JobRow:
        """Move a job on behalf of a worker outside this project: see ``app.external``."""
        job, ticket = apply_change(
            self._database, job_id, change, lease_s=self._settings.queue_job_timeout_s
        )
        if ticket is not None:
            self._dispatcher.withdraw(ticket, running=False)
        return job

    def _push(self, tickets: Sequence[Ticket]) -> None:
        """Push, or say in SQL that Redis has not got them, so that they are due at once."""
        if not tickets or self._dispatcher.push(tickets):
            return
        try:
            with self._database.begin() as connection:
                submissions.mark_not_dispatched(connection, tickets)
        except LlmJobsError:
            # The jobs are accepted all the same; maintenance finds their tickets to be lost.
            return

    def _checked(self, submission: Submission) -> submissions.NewJob:
        return checked(
            submission,
            default_max_attempts=self._settings.llm_max_retries,
            ttl_s=self._settings.queue_job_ttl_s,
        )


def _refuse_rest(outcome: BatchOutcome, start: int, end: int) -> None:
    """What came before stands, so that the answer must tell the two apart."""
    outcome.errors[:] = [error for error in outcome.errors if error.index < start]
    detail = (
        "The database went away before this entry was known to be stored. Send it again with the "
        "same idempotency_key."
    )
    code = DatabaseUnavailableError.code
    outcome.errors.extend(Refused(index, code, detail) for index in range(start, end))


def _conflict(new_job: submissions.NewJob) -> IdempotencyConflictError:
    what = "Idempotency-Key" if new_job.idempotency_key else "job id"
    return IdempotencyConflictError(
        f"This {what} was used before with another request. Use a new one for a new job, or "
        "repeat the first request unchanged."
    )


def _in_words(error: LlmJobsError) -> str:
    fields = [f"{entry['loc']}: {entry['msg']}" for entry in error.extra.get("errors", [])]
    return "; ".join([error.message, *fields])
