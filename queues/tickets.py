"""RQ made safe: who can write to Redis must not be able to run code.

Importing this module replaces pickle by JSON as RQ's default serializer, makes callbacks and
webhooks of RQ jobs inert, and lets an RQ job run one function alone, ``workers.runner.run``. Every
process that reads RQ jobs imports it: the workers and RQ's command line (through
``workers.rq_settings`` and ``workers.worker``), maintenance, and the web process.
"""

from typing import Any, ClassVar

import rq.job
import rq.serializers
from redis import Redis
from rq.job import Job
from rq.utils import import_attribute

from queues.ticket import Ticket

RUN = "workers.runner.run"
RESULT_TTL_S = 60


class TicketRefusedError(Exception):
    """An RQ job that is not one of our tickets; it is not run."""


def make_job(ticket: Ticket, connection: Redis, timeout_s: int, failure_ttl_s: int) -> Job:
    """The RQ job of a ticket: ids alone, nothing of the user's, no TTL, no retry of RQ's."""
    return Job.create(
        RUN,
        args=(ticket.job_id, ticket.seq),
        connection=connection,
        id=ticket.rq_id,
        origin=ticket.list_name,
        description=f"{ticket.job_type} {ticket.job_id}",
        timeout=timeout_s,
        result_ttl=RESULT_TTL_S,
        failure_ttl=failure_ttl_s,
        serializer=rq.serializers.JSONSerializer,
    )


def _only_run(job: Job) -> Any:
    """Replaces ``Job.func``: the one function, or a refusal. Nothing else is even imported."""
    if job.func_name != RUN or job.instance is not None or job.kwargs:
        raise TicketRefusedError(
            f"RQ job {job.id} is not a ticket of llm-jobs and was not run. Submit jobs through the "
            "API: tickets made by other programs are refused."
        )
    return import_attribute(RUN)


class _InertCallback:
    """Replaces a job's callbacks: whatever the hash in Redis names, there is none."""

    names: ClassVar = ("success_callback", "failure_callback", "stopped_callback")

    def __get__(self, _job: Job | None, _owner: type[Job]) -> None:
        return None


def _make_rq_safe() -> None:
    json_serializer = rq.serializers.JSONSerializer
    # The class itself is changed, since RQ and rq-dashboard hold references to it.
    rq.serializers.DefaultSerializer.dumps = staticmethod(json_serializer.dumps)
    rq.serializers.DefaultSerializer.loads = staticmethod(json_serializer.loads)
    Job.func = property(_only_run)  # type: ignore[assignment, method-assign]  # the point of it
    for name in _InertCallback.names:
        setattr(Job, name, _InertCallback())
    Job.send_webhooks = lambda *_args, **_kwargs: None  # type: ignore[method-assign]  # likewise


_make_rq_safe()
