"""The RQ worker class, used by plain ``rq worker`` through ``RQ_WORKER_CLASS``.

It adds to RQ's own: tickets of one function alone (``queues.tickets``), the three priorities of
each queue, a lease in SQL for each running job, a work-horse that dies with its worker, and
patience with a Redis that is away. Its constructor opens nothing and this module imports lightly:
every ``rq`` command imports it, and ``rq info`` builds one per worker.
"""

import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rq.exceptions import InvalidJobOperation
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import now
from rq.worker import WorkerStatus

from app.settings import SettingsError
from queues.lifeline import die_with_parent
from queues.names import expand
from workers import rq_settings  # also makes RQ safe, and stops at a wrong environment
from workers.beat import Beat, bounded, settle
from workers.horse import kill_group, wait_for_exit
from workers.patience import be_patient, survived
from workers.patient_worker import PatientWorker

if TYPE_CHECKING:
    from workers.leases import Lease

logger = logging.getLogger(__name__)

BEAT_S = 10.0
KILL_GRACE_S = 30.0
"""A work-horse that has not ended so long after its time-out is killed from outside."""
SQL_PATIENCE_S = 5.0
SETTLE_PATIENCE_S = 15.0


class LLMWorker(PatientWorker):
    """RQ's worker with leases in SQL. One job at a time, each in a work-horse of its own."""

    log_result_lifespan = False

    def __init__(self, queues: Any, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Serve high, normal and low priority of each queue, in the order given.

        The default name tells the host and the process, since histories show it.
        """
        name = name or f"{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:6]}"
        super().__init__(queues, name, *args, **kwargs)
        self.queues = self._with_priorities(self.queues)
        self._ordered_queues = self.queues[:]
        self._lease: Lease | None = None
        self._make_lease: Callable[[str], Lease] | None = None
        self._is_cold = False

    def _with_priorities(self, given: Sequence[Queue]) -> list[Queue]:
        by_name = {queue.name: queue for queue in given}
        return [
            by_name.get(name)
            or self.queue_class(
                name,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
            for name in expand(by_name)
        ]

    @property
    def connection_timeout(self) -> int:
        """Seconds that a reply is waited for: a pop's own waiting, and ``REDIS_TIMEOUT``."""
        return self.dequeue_timeout + math.ceil(rq_settings.REDIS_TIMEOUT_S)

    # -- the loop -----------------------------------------------------------------------------

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop. RQ's scheduler is never started: nothing here needs it."""
        from workers.leases import prepare  # noqa: PLC0415 - heavy, and only a worker needs it

        if parent := multiprocessing.parent_process():
            assert parent.pid is not None
            die_with_parent(parent.pid)
        kwargs["with_scheduler"] = False
        try:
            self._make_lease = prepare(self.name)
        except SettingsError as error:
            sys.exit(f"The settings are wrong:\n{error}")
        be_patient(self.connection)
        return bool(super().work(*args, **kwargs))

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Sign on; every queue that is served shows in ``rq info``, also before its first job."""
        super().bootstrap(*args, **kwargs)
        named = [queue.key for queue in self.queues if not queue.name.endswith(("-high", "-low"))]
        if named:
            self.connection.sadd(self.queue_class.redis_queues_keys, *named)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log one line: the attempt's outcome is in SQL, and a ticket's arguments are two ids."""
        error = exc_info[1]
        logger.warning("ticket %s failed: %s", job.id, error)

    def _finalize_failure(
        self, job: Job, queue: Queue, execution: Execution, exc_info: Any
    ) -> None:
        """File the error's own line, which names the outcome; the traceback is always the same."""
        super()._finalize_failure(job, queue, execution, (*exc_info[:2], None))

    # -- one job ------------------------------------------------------------------------------

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the ticket in a work-horse and watch over it."""
        assert self._make_lease is not None
        settle(SETTLE_PATIENCE_S)
        self._lease = self._make_lease(job.id)
        execution: Execution | None = None
        with survived(f"preparing ticket {job.id}"):
            execution = self.prepare_execution(job)
        if execution is not None:
            self.fork_work_horse(job, queue)
            self.monitor_work_horse(job, queue, execution)
        self.executions.clear()
        with survived("telling the state"):
            self.set_state(WorkerStatus.IDLE)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Fork; the child has a process group of its own and dies with this worker."""
        parent_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                die_with_parent(parent_pid)
                self.main_work_horse(job, queue)
            finally:
                os._exit(1)  # a signal may have raised: the child must not become a second worker
        # Also from this side: whichever runs first, the group stands before it is needed.
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._horse_pid = pid
        self.procline(f"Forked {pid} for {job.id}")

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Keep the lease while the work-horse runs; end it at once when the work-horse is killed.

        RQ's own hook for killed work-horses is skipped when the ticket's hash is gone, hence the
        ``finally`` here.
        """
        job.started_at = now()
        status: int | None = None
        beats: list[Beat] = []
        try:
            beats = self._start_beats(job, execution)
            status = self._watch(job)
        finally:
            if status is None:
                self.kill_horse()
                self.wait_for_horse()
            self._horse_pid = 0
            for beat in beats:
                beat.stop()
            self.executions.pop(execution.id, None)
            if status != os.EX_OK:
                self._give_up_lease()
        if status != os.EX_OK:
            with survived(f"filing ticket {job.id}"):
                self._file_killed(job, queue, execution, status)

    def _start_beats(self, job: Job, execution: Execution) -> list[Beat]:
        assert self._lease is not None
        beats = [
            Beat("lease", BEAT_S, self._lease.extend),
            Beat("heartbeat", BEAT_S, lambda: self.maintain_heartbeats(job, execution)),
        ]
        for beat in beats:
            beat.start()
        return beats

    def _watch(self, job: Job) -> int:
        """Wait for the work-horse; kill it when it outlives its time-out."""
        timeout_s = None if not job.timeout or job.timeout < 0 else job.timeout + KILL_GRACE_S
        status = wait_for_exit(self.horse_pid, timeout_s)
        if status is None:
            logger.error("work-horse of %s outlived its time-out and is killed", job.id)
            self.kill_horse()
            status = wait_for_exit(self.horse_pid, None)
            assert status is not None
        return status

    def _give_up_lease(self) -> None:
        assert self._lease is not None
        action = self._lease.release if self._is_cold else self._lease.end
        bounded("ending the lease", action, SQL_PATIENCE_S)

    def _file_killed(
        self, job: Job, queue: Queue, execution: Execution, status: int | None
    ) -> None:
        """File the ticket of a work-horse that was killed, as RQ does."""
        try:
            known = job.get_status()
        except InvalidJobOperation:
            return  # the ticket's hash is gone, so there is nothing to file
        if self._stopped_job_id == job.id:
            reason = "Stopped on request."
        elif known in (JobStatus.FINISHED, JobStatus.FAILED):
            return
        else:
            reason = f"The work-horse was killed; its wait status was {status}."
        job.ended_at = now()
        logger.warning("ticket %s: %s", job.id, reason)
        self.handle_job_failure(job, queue=queue, exc_string=reason, execution=execution)

    def setup_work_horse_signals(self) -> None:
        """The work-horse leaves its end to its worker: a service manager signals both."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]  # RQ's is
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    # -- signals ------------------------------------------------------------------------------

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal to the work-horse, if there is one."""
        if kill_group(self.horse_pid, sig):
            logger.info("sent %s to work-horse %d", sig.name, self.horse_pid)

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Wait until the work-horse has ended; RQ calls it in a cold shutdown."""
        pid = self.horse_pid
        return (pid, wait_for_exit(pid, None), None) if pid > 0 else (None, None, None)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """The second SIGTERM: end now, and put the running job back without a failure."""
        self._is_cold = True
        try:
            super().request_force_stop(signum, frame)
        except SystemExit:
            # A third signal must not interrupt what puts the job back.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise
        self._is_cold = False  # RQ ignores a second signal within a second
