"""The span of the request that a webhook's delivery is about, which the delivery carries on.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration: a column without a default, which rewrites no row."""
    op.execute("ALTER TABLE webhook_deliveries ADD COLUMN trace text")


def downgrade() -> None:
    """Undo this migration."""
    op.execute("ALTER TABLE webhook_deliveries DROP COLUMN trace")
