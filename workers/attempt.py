"""One attempt at a claimed job, from the question to the stored outcome."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from rq.timeouts import JobTimeoutException

from app.errors import DatabaseUnavailableError
from app.job_types.registry import AnyJobType, all_job_types
from app.jobs.ask import Ask, Prompt
from app.jobs.job_type import AnswerUnusable, JobRejected
from app.jobs.retry import End, Past, Policy, decide
from app.store import outcomes, transitions
from app.store.claims import Claim
from app.store.contexts import SqlReadContext, SqlWriteContext
from app.store.database import Transaction, sql_time
from app.store.outcomes import Problem, Report
from workers.llm import Completion, LLMError, LLMQuotaExhausted, LLMThrottled
from workers.runtime import Runtime

logger = logging.getLogger(__name__)

QUOTA_WAIT_S = 3_600.0


class Attempt:
    """A claimed job and the time that is left for it (``deadline``, of ``time.monotonic``).

    ``run`` and ``timed_out`` return the code under which RQ is to file the ticket as failed, or
    ``None``: the job completed, was fenced off, or waits for an LLM that is away.
    """

    def __init__(self, runtime: Runtime, claim: Claim, deadline: float) -> None:
        self._runtime = runtime
        self._claim = claim
        self._deadline = deadline
        self._report = Report()
        self._started = time.monotonic()

    def run(self) -> str | None:
        """Ask, apply, finish."""
        try:
            self._do()
        except JobTimeoutException:
            raise
        except LLMError as error:
            self._report = _report_of_error(self._report, error)
            return self._fail(error.policy, Problem(error.code, error.message), _asked_wait(error))
        except Exception as error:  # noqa: BLE001 - a bug in a job type is a failure of the job
            return self._fail(*_judge(error))
        return None

    def _do(self) -> None:
        job_type = all_job_types().get(self._claim.job_type)
        if job_type is None:
            raise JobRejected(
                "unknown_job_type", f"This worker knows no job type {self._claim.job_type!r}."
            )
        payload = job_type.payload_model.model_validate(self._claim.payload)
        ask = job_type.ask(payload, self._read_context())
        answer = None if ask is None else self._ask(ask)
        self._complete(job_type, payload, answer)

    def timed_out(self) -> str | None:
        """Record that RQ's time-out ended the attempt; counted, unless it had ended already."""
        message = f"The attempt was stopped after {time.monotonic() - self._started:.0f} s."
        self._deadline = time.monotonic() + 10.0
        return self._fail("counted", Problem("job_timeout", message), unknown=True)

    def _read_context(self) -> SqlReadContext:
        return SqlReadContext(
            self._runtime.database,
            self._claim.user_id,
            self._claim.created_at,
            self._runtime.settings.image_dir,
        )

    def _ask(self, ask: Ask) -> Any:
        self._report = _report_of(ask.prompt)
        completion = self._runtime.llm.complete(ask, self._deadline)
        self._report = _report_of(ask.prompt, completion)
        return completion.answer

    def _complete(self, job_type: AnyJobType, payload: Any, answer: Any) -> None:
        def apply(connection: Transaction) -> outcomes.Result:
            return job_type.apply(payload, answer, SqlWriteContext(connection, self._claim.user_id))

        def write(connection: Transaction) -> bool:
            return outcomes.complete(
                connection, self._claim, self._report, job_type.notification, apply
            )

        if self._settle(write):
            self._log("completed", logging.INFO)

    def _fail(
        self,
        policy: Policy,
        problem: Problem,
        wait_s: float | None = None,
        *,
        unknown: bool = False,
    ) -> str | None:
        filed = True

        def write(connection: Transaction) -> bool:
            nonlocal filed
            verdict = decide(
                policy,
                self._past(connection),
                deferral_ttl_s=self._runtime.settings.llm_unavailable_ttl_s,
                wait_s=wait_s,
            )
            claim, report = self._claim, self._report
            if isinstance(verdict, End):
                return outcomes.fail(
                    connection, claim, verdict.status, problem, report, counted=verdict.counted
                )
            # An outage must not flood the failed registry: what is not counted is not filed.
            filed = verdict.counted
            end = outcomes.retry_later if verdict.counted else outcomes.defer
            return end(connection, claim, problem, report, verdict.wait_s)

        if not self._settle(write, unknown=unknown):
            return None
        self._log(problem.code, logging.WARNING)
        return problem.code if filed else None

    def _past(self, connection: Transaction) -> Past:
        since = self._claim.deferred_since
        deferred_for_s = (sql_time(connection) - since).total_seconds() if since else 0.0
        claim = self._claim
        return Past(claim.failures, claim.max_attempts, claim.deferrals, deferred_for_s)

    def _settle(self, write: Callable[[Transaction], bool], *, unknown: bool = False) -> bool:
        """Store an outcome, retrying a database that is away until the deadline.

        ``False``: the attempt was fenced off, or had an outcome already, and nothing was written.
        After a commit whose outcome is unknown the transition is looked for: the job itself may
        have moved on.
        """
        claim, database = self._claim, self._runtime.database
        while True:
            try:
                with database.begin() as connection:
                    if unknown and transitions.has_left_processing(
                        connection, claim.job_id, claim.attempt
                    ):
                        return False
                    return write(connection)
            except DatabaseUnavailableError:
                unknown = True
                database.forget_connections()
                if time.monotonic() > self._deadline:
                    raise
                time.sleep(0.5)

    def _log(self, outcome: str, level: int) -> None:
        logger.log(
            level,
            "attempt ended",
            extra={
                "job_id": self._claim.job_id,
                "job_type": self._claim.job_type,
                "attempt": self._claim.attempt,
                "outcome": outcome,
                "duration_s": round(time.monotonic() - self._started, 3),
            },
        )


def _judge(error: Exception) -> tuple[Policy, Problem]:
    """The policy for what went wrong outside the LLM."""
    match error:
        case AnswerUnusable():
            return "counted", Problem(error.code, error.message)
        case JobRejected():
            return "permanent", Problem(error.code, error.message)
        case ValidationError():
            fields = [".".join(map(str, entry["loc"])) for entry in error.errors()]
            message = f"The stored payload is not what the job type takes: {', '.join(fields)}."
            return "permanent", Problem("bad_payload", message)
        case DatabaseUnavailableError():
            return "uncounted", Problem("database_unavailable", "The database was away.")
    # The exception's text may hold the payload; its type and place do not.
    place = traceback.extract_tb(error.__traceback__)[-1]
    name = type(error).__name__
    logger.error("job type is broken: %s at %s:%s", name, place.filename, place.lineno)
    return "counted", Problem("internal_error", f"{name} in the code of the job type.")


def _asked_wait(error: LLMError) -> float | None:
    """How long the server wants us to wait, if it said so."""
    match error:
        case LLMThrottled():
            return error.retry_after_s
        case LLMQuotaExhausted():
            return QUOTA_WAIT_S
    return None


def _report_of(prompt: Prompt, completion: Completion | None = None) -> Report:
    asked = Report(
        prompt_name=prompt.name, prompt_version=prompt.version, prompt_sha256=prompt.sha256
    )
    if completion is None:
        return asked
    return replace(
        asked,
        model=completion.model,
        usage=completion.usage,
        prompt=completion.messages,
        answer=completion.text,
        repaired=completion.repaired,
        llm_calls=completion.calls,
    )


def _report_of_error(asked: Report, error: LLMError) -> Report:
    return replace(
        asked,
        model=error.model,
        usage=error.usage,
        prompt=error.messages or None,
        answer=error.text,
        llm_calls=error.calls,
    )
