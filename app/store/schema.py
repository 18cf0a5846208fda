"""The tables of jobs. Alembic's migrations create them; a test compares the two.

Every CHECK is named (Alembic's batch mode on SQLite drops unnamed ones), and the database itself
enforces the engine's invariants: which columns a state needs, one ``completed`` per job, one way
out of each attempt. The users' data is in ``user_tables``.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    literal,
)

from app.jobs.status import TRANSITIONS, JobStatus
from app.store.database import EPOCH, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BigId = BigInteger().with_variant(Integer, "sqlite")


def constant(value: Any, type_: Any = None) -> ColumnElement[Any]:
    """A value written into the statement's text, so that a partial index can be proved to apply."""
    return literal(value, type_, literal_execute=True)


def _quoted(values: Any) -> str:
    return ", ".join(f"'{value}'" for value in values)


_FINAL = [status for status in JobStatus if status.is_final]
_LEGAL_MOVES = " OR ".join(
    f"(from_status = '{source}' AND to_status IN ({_quoted(sorted(targets))}))"
    for source, targets in TRANSITIONS.items()
    if targets
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_type", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("metadata", JSON(none_as_null=True)),
    Column("user_id", BigInteger),
    Column("seq", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("deferrals", Integer, nullable=False),
    Column("deferred_since", UtcDateTime),
    Column("available_at", UtcDateTime, nullable=False),
    Column("dispatched_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("locked_by", Text),
    Column("expires_at", UtcDateTime),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("idempotency_key", Text),
    Column("request_hash", Text),
    Column("model", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    CheckConstraint(f"status IN ({_quoted(JobStatus)})", name="status"),
    CheckConstraint("priority IN ('high', 'normal', 'low')", name="priority"),
    CheckConstraint(
        "(status = 'processing') = (locked_by IS NOT NULL)"
        " AND (status = 'processing') = (lease_until IS NOT NULL)",
        name="lease",
    ),
    CheckConstraint(
        f"(status IN ({_quoted(_FINAL)})) = (finished_at IS NOT NULL)", name="finished"
    ),
    CheckConstraint(
        "seq >= 1 AND attempts >= 0 AND failures >= 0 AND failures <= attempts"
        " AND max_attempts >= 1 AND deferrals >= 0",
        name="counts",
    ),
)

_queued = jobs.c.status == constant(JobStatus.QUEUED.value, Text)
_epoch = constant(EPOCH, UtcDateTime())
is_queued = _queued
is_processing = jobs.c.status == constant(JobStatus.PROCESSING.value, Text)
is_waiting = jobs.c.dispatched_at == _epoch
"""The job has no ticket in Redis that counts: it is to be pushed when it is available."""
is_dispatched = jobs.c.dispatched_at > _epoch

# The relay's questions of each second, one partial index each.
Index(
    "ix_jobs_lease", jobs.c.lease_until, postgresql_where=is_processing, sqlite_where=is_processing
)
Index(
    "ix_jobs_due",
    jobs.c.available_at,
    postgresql_where=_queued & is_waiting,
    sqlite_where=_queued & is_waiting,
)
Index(
    "ix_jobs_dispatched",
    jobs.c.queue,
    jobs.c.dispatched_at,
    postgresql_where=_queued & is_dispatched,
    sqlite_where=_queued & is_dispatched,
)
Index(
    "ix_jobs_expires",
    jobs.c.expires_at,
    postgresql_where=_queued & jobs.c.expires_at.is_not(None),
    sqlite_where=_queued & jobs.c.expires_at.is_not(None),
)
# NULLs never collide in a unique index, hence the coalesce.
Index(
    "uq_jobs_idempotency",
    func.coalesce(jobs.c.user_id, 0),
    jobs.c.idempotency_key,
    unique=True,
    postgresql_where=jobs.c.idempotency_key.is_not(None),
    sqlite_where=jobs.c.idempotency_key.is_not(None),
)
Index("ix_jobs_newest", jobs.c.created_at, jobs.c.id)
Index("ix_jobs_user", jobs.c.user_id, jobs.c.created_at, jobs.c.id)
# Not led by status: SQLite, which keeps no statistics, would choose it over the partial ones.
Index("ix_jobs_type", jobs.c.job_type, jobs.c.status, jobs.c.created_at, jobs.c.id)

job_transitions = Table(
    "job_transitions",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("from_status", Text),
    Column("to_status", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("notification", JSON(none_as_null=True)),
    Column("published_at", UtcDateTime),
    # A CHECK that is NULL holds, so NULL must never reach the comparisons.
    CheckConstraint(
        "(from_status IS NULL AND to_status = 'queued')"
        f" OR (from_status IS NOT NULL AND ({_LEGAL_MOVES}))",
        name="legal",
    ),
)
_completed = job_transitions.c.to_status == constant("completed", Text)
_from_processing = job_transitions.c.from_status == constant("processing", Text)
_unpublished = job_transitions.c.notification.is_not(None) & job_transitions.c.published_at.is_(
    None
)
is_unpublished = _unpublished
Index("ix_job_transitions_job", job_transitions.c.job_id, job_transitions.c.id)
Index(
    "uq_job_transitions_completed",
    job_transitions.c.job_id,
    unique=True,
    postgresql_where=_completed,
    sqlite_where=_completed,
)
Index(
    "uq_job_transitions_attempt",
    job_transitions.c.job_id,
    job_transitions.c.attempt,
    unique=True,
    postgresql_where=_from_processing,
    sqlite_where=_from_processing,
)
Index(
    "ix_job_transitions_outbox",
    job_transitions.c.id,
    postgresql_where=_unpublished,
    sqlite_where=_unpublished,
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("enqueued_at", Text),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("outcome", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("model", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cost_usd", Float),
    Column("prompt_name", Text),
    Column("prompt_version", Text),
    Column("prompt_sha256", Text),
    Column("prompt", JSON(none_as_null=True)),
    Column("answer", Text),
    Column("repaired", Boolean, nullable=False),
    Column("llm_calls", Integer, nullable=False),
)

relay_state = Table(
    "relay_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mark", BigInteger, nullable=False),
    Column("last_tick_at", UtcDateTime, nullable=False),
    Column("leases_rest_until", UtcDateTime, nullable=False),
    Column("repush_before", UtcDateTime),
    CheckConstraint("id = 1", name="one_row"),
)
