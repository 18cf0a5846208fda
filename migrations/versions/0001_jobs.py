"""Jobs, their transitions and attempts, and the relay's state."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    """Create the tables."""
    _create_jobs()
    _create_history()
    _create_relay_state()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("metadata", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("deferrals", sa.Integer(), nullable=False),
        sa.Column("deferred_since", _TIME, nullable=True),
        sa.Column("available_at", _TIME, nullable=False),
        sa.Column("dispatched_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("locked_by", sa.Text(), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("total_tokens", sa.BigInteger(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "(status = 'processing') = (locked_by IS NOT NULL)"
            " AND (status = 'processing') = (lease_until IS NOT NULL)",
            name=op.f("ck_jobs_lease"),
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'error', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished"),
        ),
        sa.CheckConstraint("priority IN ('high', 'normal', 'low')", name=op.f("ck_jobs_priority")),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'completed', 'failed', 'error', 'cancelled')",
            name=op.f("ck_jobs_status"),
        ),
        sa.CheckConstraint(
            "seq >= 1 AND attempts >= 0 AND failures >= 0 AND failures <= attempts"
            " AND max_attempts >= 1 AND deferrals >= 0",
            name=op.f("ck_jobs_counts"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_dispatched",
        "jobs",
        ["queue", "dispatched_at"],
        unique=False,
        postgresql_where=sa.text(
            "status = 'queued' AND dispatched_at > '1970-01-01 00:00:00.000000+00'"
        ),
        sqlite_where=sa.text("status = 'queued' AND dispatched_at > '1970-01-01 00:00:00.000000'"),
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["available_at"],
        unique=False,
        postgresql_where=sa.text(
            "status = 'queued' AND dispatched_at = '1970-01-01 00:00:00.000000+00'"
        ),
        sqlite_where=sa.text("status = 'queued' AND dispatched_at = '1970-01-01 00:00:00.000000'"),
    )
    op.create_index(
        "ix_jobs_expires",
        "jobs",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND expires_at IS NOT NULL"),
        sqlite_where=sa.text("status = 'queued' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_lease",
        "jobs",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status = 'processing'"),
        sqlite_where=sa.text("status = 'processing'"),
    )
    op.create_index(
        "uq_jobs_idempotency",
        "jobs",
        [sa.text("coalesce(user_id, 0)"), "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_jobs_newest", "jobs", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_jobs_type", "jobs", ["job_type", "status", "created_at", "id"], unique=False
    )
    op.create_index("ix_jobs_user", "jobs", ["user_id", "created_at", "id"], unique=False)


def _create_history() -> None:
    op.create_table(
        "job_transitions",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("notification", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("published_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "(from_status IS NULL AND to_status = 'queued') OR (from_status IS NOT NULL AND ("
            "(from_status = 'queued' AND to_status IN ('cancelled', 'error', 'processing'))"
            " OR (from_status = 'processing'"
            " AND to_status IN ('cancelled', 'completed', 'error', 'failed', 'queued'))"
            " OR (from_status = 'failed' AND to_status IN ('queued'))"
            " OR (from_status = 'error' AND to_status IN ('queued'))))",
            name=op.f("ck_job_transitions_legal"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_transitions_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_job_transitions"),
    )
    op.create_index("ix_job_transitions_job", "job_transitions", ["job_id", "id"], unique=False)
    op.create_index(
        "ix_job_transitions_outbox",
        "job_transitions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("notification IS NOT NULL AND published_at IS NULL"),
        sqlite_where=sa.text("notification IS NOT NULL AND published_at IS NULL"),
    )
    op.create_index(
        "uq_job_transitions_attempt",
        "job_transitions",
        ["job_id", "attempt"],
        unique=True,
        postgresql_where=sa.text("from_status = 'processing'"),
        sqlite_where=sa.text("from_status = 'processing'"),
    )
    op.create_index(
        "uq_job_transitions_completed",
        "job_transitions",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("to_status = 'completed'"),
        sqlite_where=sa.text("to_status = 'completed'"),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("enqueued_at", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("total_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("prompt_name", sa.Text(), nullable=True),
        sa.Column("prompt_version", sa.Text(), nullable=True),
        sa.Column("prompt_sha256", sa.Text(), nullable=True),
        sa.Column("prompt", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("repaired", sa.Boolean(), nullable=False),
        sa.Column("llm_calls", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_attempts_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_attempts"),
    )


def _create_relay_state() -> None:
    relay_state = op.create_table(
        "relay_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("last_tick_at", _TIME, nullable=False),
        sa.Column("leases_rest_until", _TIME, nullable=False),
        sa.Column("repush_before", _TIME, nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_relay_state_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_relay_state"),
    )
    op.bulk_insert(
        relay_state,
        [{"id": 1, "mark": 0, "last_tick_at": _EPOCH, "leases_rest_until": _EPOCH}],
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("relay_state", "attempts", "job_transitions", "jobs"):
        op.drop_table(table)
