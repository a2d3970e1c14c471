"""Batches get the names of files skipped in their upload; older batches have none.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. A constant default rewrites no row."""
    op.execute("ALTER TABLE batches ADD COLUMN skipped_files jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """Undo this migration."""
    op.execute("ALTER TABLE batches DROP COLUMN skipped_files")
