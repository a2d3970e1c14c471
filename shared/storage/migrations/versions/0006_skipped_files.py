"""A batch keeps the names of what was skipped in its upload; of those before, none are known.

In SQL and frozen: what a step does must not change when the table definitions go on.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this step. A constant default rewrites no row."""
    op.execute("ALTER TABLE batches ADD COLUMN skipped_files jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """Take this step back."""
    op.execute("ALTER TABLE batches DROP COLUMN skipped_files")
