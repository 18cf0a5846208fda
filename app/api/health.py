"""``/health`` and ``/admin/queue-stats``: what stands, and how much of it there is."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from apiflask import APIBlueprint

from app.api.fields import Out
from app.api.services import Tick, services
from app.errors import DatabaseUnavailableError
from app.job_types.registry import all_job_types
from app.jobs.status import JobStatus
from app.store import job_queries
from app.store.database import Database
from app.store.job_queries import Count, WaitingCount
from queues.names import lists_of
from queues.stats import RedisCounts

T = TypeVar("T")
logger = logging.getLogger(__name__)
blueprint = APIBlueprint("health", __name__, tag="Health")


class QueueHealth(Out):
    """A queue, its three priorities together; null where what knows it does not answer."""

    queue_size: int | None
    failed_jobs: int | None
    scheduled_jobs: int | None
    started_jobs: int | None


class WorkersHealth(Out):
    """The workers that Redis knows, and how many of them run a job."""

    count: int | None
    active: int | None


class MaintenanceHealth(Out):
    """The process that looks after retries and lost jobs; null: it never ran."""

    last_tick_age_seconds: float | None


class HealthOut(Out):
    """The service's health."""

    status: str
    redis_connected: bool
    database_connected: bool
    queue_stats: dict[str, QueueHealth]
    workers: WorkersHealth
    maintenance: MaintenanceHealth


class LifeOut(Out):
    """A yes."""

    status: str


class GroupStats(Out):
    """Jobs by status, and how long the oldest that may run now has been waiting."""

    jobs: dict[JobStatus, int]
    oldest_queued_age_seconds: float | None


class QueueStatsOut(GroupStats):
    """All jobs, then by job type and by RQ list."""

    by_type: dict[str, GroupStats]
    by_queue: dict[str, GroupStats]


@blueprint.get("/health/live")
@blueprint.output(LifeOut)
def live() -> LifeOut:
    """Tell that the process answers."""
    return LifeOut(status="alive")


@blueprint.get("/health/ready")
@blueprint.output(LifeOut)
@blueprint.doc(responses={503: "The database does not answer"})
def ready() -> LifeOut:
    """Tell whether jobs are accepted: that takes SQL alone, not Redis."""
    with services().database.read() as connection:
        job_queries.last_tick_age_s(connection)
    return LifeOut(status="ready")


@blueprint.get("/health")
@blueprint.output(HealthOut)
@blueprint.doc(responses={503: "Redis or the database does not answer; the same document"})
def health() -> tuple[HealthOut, int]:
    """Tell how the service stands; 503 without Redis or SQL."""
    queues = [job_type.queue for job_type in all_job_types().values()]
    redis_counts = services().redis_stats.count(queues)
    tick = services().tick.ask()
    # Counting may take long in a large database: that does not make it unhealthy.
    waiting = services().waiting.ask() if tick else None
    is_well = redis_counts is not None and tick is not None
    report = HealthOut(
        status="healthy" if is_well else "unhealthy",
        redis_connected=redis_counts is not None,
        database_connected=tick is not None,
        queue_stats={queue: _queue(queue, redis_counts, waiting) for queue in queues},
        workers=WorkersHealth(
            count=redis_counts.workers if redis_counts else None,
            active=redis_counts.active_workers if redis_counts else None,
        ),
        maintenance=MaintenanceHealth(last_tick_age_seconds=tick.age_s if tick else None),
    )
    return report, 200 if is_well else 503


def read_tick(database: Database) -> Tick | None:
    """The age of maintenance's last tick; ``None`` when SQL does not answer."""
    return _read(database, lambda connection: Tick(job_queries.last_tick_age_s(connection)))


def read_waiting(database: Database) -> dict[str, WaitingCount] | None:
    """What failed and what waits, per RQ list; ``None`` when SQL does not answer."""
    return _read(database, job_queries.waiting_counts)


def _read(database: Database, question: Callable[[Any], T]) -> T | None:
    try:
        with database.read() as connection:
            return question(connection)
    except DatabaseUnavailableError as error:
        logger.warning("health: %s", error.message)
    except Exception:  # health is what people ask when something is wrong: it always answers
        logger.exception("health: the database's schema is not as it should be")
    return None


def _queue(
    queue: str, redis: RedisCounts | None, waiting: dict[str, WaitingCount] | None
) -> QueueHealth:
    none = WaitingCount(0, 0)
    lists = None if waiting is None else [waiting.get(name, none) for name in lists_of(queue)]
    return QueueHealth(
        queue_size=redis.waiting[queue] if redis else None,
        started_jobs=redis.started[queue] if redis else None,
        failed_jobs=None if lists is None else sum(count.failed for count in lists),
        scheduled_jobs=None if lists is None else sum(count.scheduled for count in lists),
    )


@blueprint.get("/admin/queue-stats")
@blueprint.output(QueueStatsOut)
def queue_stats() -> QueueStatsOut:
    """Count jobs by status, type and RQ list, with the age of the oldest that waits."""
    with services().database.read() as connection:
        counts = job_queries.counts(connection)
    now = datetime.now(UTC)
    total = _group(counts, now)
    return QueueStatsOut(
        jobs=total.jobs,
        oldest_queued_age_seconds=total.oldest_queued_age_seconds,
        by_type={
            name: _group([count for count in counts if count.job_type == name], now)
            for name in sorted({count.job_type for count in counts})
        },
        by_queue={
            name: _group([count for count in counts if count.queue == name], now)
            for name in sorted({count.queue for count in counts})
        },
    )


def _group(counts: Iterable[Count], now: datetime) -> GroupStats:
    jobs: Counter[JobStatus] = Counter(dict.fromkeys(JobStatus, 0))
    oldest = None
    for count in counts:
        jobs[count.status] += count.jobs
        if since := count.oldest_available_at:
            oldest = min(oldest or since, since)
    # A job that waits for its time, in the future, has no age.
    age_s = max(0.0, (now - oldest).total_seconds()) if oldest else None
    return GroupStats(jobs=dict(jobs), oldest_queued_age_seconds=age_s)
