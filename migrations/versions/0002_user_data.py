"""The users' data: memories with their tags and words, tasks, calendar events."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _create_memories()
    _create_memory_words()
    _create_tasks_and_events()


def _create_memories() -> None:
    op.create_table(
        "memories",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_user_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("image_path", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memories"),
    )
    op.create_index("ix_memories_newest", "memories", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_memories_owner", "memories", ["owner_user_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "memory_tags",
        sa.Column("id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("memory_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memory_tags"),
        sa.UniqueConstraint("memory_id", "tag", name="uq_memory_tags_memory_id_tag"),
    )


def _create_memory_words() -> None:
    op.create_table(
        "memory_words",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("owner_user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("memory_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint("source IN ('content', 'tags')", name=op.f("ck_memory_words_source")),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name="fk_memory_words_memory_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "word", "owner_user_id", "memory_id", "source", name="pk_memory_words"
        ),
    )
    op.create_index("ix_memory_words_memory", "memory_words", ["memory_id", "source"], unique=False)


def _create_tasks_and_events() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_user_id", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('NOT_DONE', 'DONE')", name=op.f("ck_tasks_state")),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    op.create_index("ix_tasks_newest", "tasks", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_tasks_owner", "tasks", ["owner_user_id", "state", "created_at", "id"], unique=False
    )
    op.create_table(
        "calendar_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_user_id", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("event_time", _TIME, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=True),
        sa.Column("source_detail", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'rejected')", name=op.f("ck_calendar_events_status")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_calendar_events"),
    )
    op.create_index(
        "ix_calendar_events_newest", "calendar_events", ["created_at", "id"], unique=False
    )
    op.create_index(
        "ix_calendar_events_owner",
        "calendar_events",
        ["owner_user_id", "created_at", "id"],
        unique=False,
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("calendar_events", "tasks", "memory_words", "memory_tags", "memories"):
        op.drop_table(table)
