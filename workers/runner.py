"""Runs one job: claim, ask, answer, finish. ``run`` is the one function that a ticket may name.

Whatever happens, the job's state is in SQL before ``run`` ends. It returns ``None`` always, and
raises ``JobFailed`` alone, so that RQ files the ticket in its failed registry without a word of
the job's content.
"""

import logging
import time
import traceback
from dataclasses import dataclass
from datetime import datetime

from rq import get_current_job
from rq.timeouts import JobTimeoutException

from app.errors import DatabaseUnavailableError
from app.store import claims
from app.store.claims import Claim
from app.store.database import Transaction
from queues.ticket import parse_rq_id
from workers.attempt import Attempt
from workers.runtime import Runtime, current

logger = logging.getLogger(__name__)

LEASE_S = 30.0
FINISH_MARGIN_S = 30.0
"""The runner stops trying to store an outcome so long before RQ's time-out."""
CLAIM_PATIENCE_S = 20.0


class JobFailed(Exception):  # noqa: N818 - it names what became of the job
    """The attempt did not complete the job; ``code`` says why, and the job's row says more."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class _Ticket:
    """What RQ knows of the ticket that is being run."""

    enqueued_at: str | None
    timeout_s: float


def run(job_id: object, seq: object) -> None:
    """Run the job if this ticket is still valid. The entry point of every ticket.

    Returns quietly when the ticket is void. Raises ``JobFailed`` when the attempt failed in a
    way that a person should see in RQ's failed registry.
    """
    if not isinstance(job_id, str) or not isinstance(seq, int):
        logger.warning("a ticket with unreadable arguments was dropped")
        return
    job = get_current_job()
    if job is not None and parse_rq_id(job.id) != (job_id, seq):
        # The worker keeps the lease of the job in its name: another's would run out.
        logger.warning("a ticket with another one's name was dropped", extra={"job_id": job_id})
        return
    failure = _outcome(current(), job_id, seq)
    if failure is not None:
        # Raised here, outside of every except block: a chained exception would carry the prompt.
        raise JobFailed(failure)


def _outcome(runtime: Runtime, job_id: str, seq: int) -> str | None:
    """Claim the job and run it; returns the code of a failure, ``None`` otherwise."""
    started = time.monotonic()
    ticket = _ticket_of_rq(runtime)
    deadline = started + max(ticket.timeout_s - FINISH_MARGIN_S, ticket.timeout_s / 2)
    try:
        claim = _claim(runtime, job_id, seq, ticket.enqueued_at)
        if claim is None:
            logger.info("ticket is void", extra={"job_id": job_id, "seq": seq})
            return None
        return _attempt(runtime, claim, deadline)
    except JobTimeoutException:
        return "job_timeout"
    except DatabaseUnavailableError:
        return "database_unavailable"
    except Exception as error:  # noqa: BLE001 - its text may hold the prompt: RQ must not file it
        place = traceback.extract_tb(error.__traceback__)[-1]
        name = type(error).__name__
        logger.error(  # noqa: TRY400 - likewise
            "the attempt broke: %s at %s:%s", name, place.filename, place.lineno
        )
        return "internal_error"


def _ticket_of_rq(runtime: Runtime) -> _Ticket:
    job = get_current_job()
    timeout_s = float(runtime.settings.queue_job_timeout_s)
    if job is None:
        return _Ticket(None, timeout_s)
    enqueued_at: datetime | None = job.enqueued_at
    if job.timeout and job.timeout > 0:
        timeout_s = float(job.timeout)
    return _Ticket(enqueued_at.isoformat() if enqueued_at else None, timeout_s)


def _claim(runtime: Runtime, job_id: str, seq: int, enqueued_at: str | None) -> Claim | None:
    """Claim the job, waiting a while for a database that is away.

    After a commit whose outcome is unknown, a row that holds our token is ours.
    """
    give_up = time.monotonic() + CLAIM_PATIENCE_S
    unknown = False
    while True:
        try:
            with runtime.database.begin() as connection:
                if unknown and (held := _held(runtime, connection, job_id)):
                    return held
                claim = claims.claim(
                    connection,
                    job_id=job_id,
                    seq=seq,
                    token=runtime.token,
                    worker=runtime.worker_name,
                    lease_s=LEASE_S,
                    enqueued_at=enqueued_at,
                )
                # The commit may have been on its way still when it was looked for.
                return claim or (_held(runtime, connection, job_id) if unknown else None)
        except DatabaseUnavailableError:
            unknown = True
            runtime.database.forget_connections()
            if time.monotonic() > give_up:
                # Not started, so nothing is lost: maintenance finds that the ticket is missing.
                raise
            time.sleep(0.5)


def _held(runtime: Runtime, connection: Transaction, job_id: str) -> Claim | None:
    return claims.find_claim(connection, job_id, runtime.token, runtime.worker_name)


def _attempt(runtime: Runtime, claim: Claim, deadline: float) -> str | None:
    """Run a claimed job to some outcome; returns the code of a failure, ``None`` otherwise."""
    attempt = Attempt(runtime, claim, deadline)
    try:
        return attempt.run()
    except JobTimeoutException:
        # SIGALRM may have interrupted anything: SQLAlchemy's rollback included.
        runtime.database.forget_connections()
    except DatabaseUnavailableError:
        return "database_unavailable"
    try:
        return attempt.timed_out()
    except DatabaseUnavailableError:
        return "job_timeout"
