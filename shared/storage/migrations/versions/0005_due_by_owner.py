"""Due deliveries are found by owner and destination, so that each owner's deliveries to one are claimed apart.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. The index holds pending deliveries alone, so it is built in a moment."""
    op.execute("""
        DROP INDEX webhook_deliveries_due;
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (owner, destination, next_attempt_at)
            WHERE status = 'pending';
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DROP INDEX webhook_deliveries_due;
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (destination, next_attempt_at)
            WHERE status = 'pending';
    """)
