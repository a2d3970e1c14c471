"""Batches get their model, metadata, skipped count, and times of change and cancellation.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration."""
    op.execute("""
        ALTER TABLE batches
            ADD COLUMN model text,
            ADD COLUMN skipped integer NOT NULL DEFAULT 0,
            ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
            ADD COLUMN changed_at timestamptz,
            ADD COLUMN canceled_at timestamptz;
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        ALTER TABLE batches
            DROP COLUMN model, DROP COLUMN skipped, DROP COLUMN metadata,
            DROP COLUMN changed_at, DROP COLUMN canceled_at;
    """)
