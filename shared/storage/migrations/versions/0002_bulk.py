"""Bulk uploads: what a batch is, when it changed last, whether it was canceled.

In SQL and frozen: what a step does must not change when the table definitions go on.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this step."""
    op.execute("""
        ALTER TABLE batches
            ADD COLUMN model text,
            ADD COLUMN skipped integer NOT NULL DEFAULT 0,
            ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
            ADD COLUMN changed_at timestamptz,
            ADD COLUMN canceled_at timestamptz;
    """)


def downgrade() -> None:
    """Take this step back."""
    op.execute("""
        ALTER TABLE batches
            DROP COLUMN model, DROP COLUMN skipped, DROP COLUMN metadata,
            DROP COLUMN changed_at, DROP COLUMN canceled_at;
    """)
