"""What is due is found by owner and destination: each owner's deliveries to one have a turn of their own.

In SQL and frozen: what a step does must not change when the table definitions go on.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this step. The index holds what is pending alone, so it is made in a moment."""
    op.execute("""
        DROP INDEX webhook_deliveries_due;
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (owner, destination, next_attempt_at)
            WHERE status = 'pending';
    """)


def downgrade() -> None:
    """Take this step back."""
    op.execute("""
        DROP INDEX webhook_deliveries_due;
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (destination, next_attempt_at)
            WHERE status = 'pending';
    """)
