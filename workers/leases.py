"""The lease of a running job, held by the worker that watches over its work-horse.

Each beat opens a connection of its own and closes it: the worker forks, and must hold none.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from app import log
from app.settings import load
from app.store import claims, outcomes
from app.store.database import Database, open_database
from queues.ticket import parse_rq_id
from workers import runtime
from workers.runner import LEASE_S

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3


class Lease:
    """The right to one job, by ``token``. The work-horse claims the job under the same token."""

    def __init__(self, database: Database, job_id: str, token: str, worker: str) -> None:
        self._database = database
        self._job_id = job_id
        self._token = token
        self._worker = worker

    def extend(self) -> None:
        """Hold the job for another 30 s, if it is ours."""
        with self._database.begin() as connection:
            claims.extend_lease(connection, self._job_id, self._token, LEASE_S)

    def end(self) -> None:
        """The work-horse is dead: let maintenance take the job back at once."""
        with self._database.begin() as connection:
            claims.end_lease(connection, self._job_id, self._token)

    def release(self) -> None:
        """The worker is told to go: put the job back without a failure."""
        with self._database.begin() as connection:
            claim = claims.find_claim(connection, self._job_id, self._token, self._worker)
            if claim is not None:
                outcomes.release(connection, claim, "worker shut down")


def prepare(worker_name: str) -> Callable[[str], Lease]:
    """Import and build all that jobs need before the first fork; returns what makes leases.

    Making a lease for an RQ id also tells the runner, in the work-horse to come, its token.
    """
    settings = load()
    log.configure(settings)
    base = runtime.Runtime.build(settings)
    database = open_database(
        settings.database_url, connect_timeout_s=CONNECT_TIMEOUT_S, pooled=False
    )

    def make(rq_id: str) -> Lease:
        token = str(uuid4())
        runtime.install(replace(base, worker_name=worker_name, token=token))
        job_id, _seq = parse_rq_id(rq_id) or (rq_id, 0)
        return Lease(database, job_id, token, worker_name)

    return make
