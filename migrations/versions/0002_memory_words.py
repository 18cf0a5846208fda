"""The search's index: the words of each memory's content and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty: it comes with the first release, when there are no memories."""
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


def downgrade() -> None:
    """Drop the index; nothing of the users' is lost."""
    op.drop_table("memory_words")
