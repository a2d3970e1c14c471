"""Predictions get the id of their request, what they retry and when they were recorded; batches their failures' codes.

Rows from before have none of these; batches' failures are counted once here. Plain SQL, never changed: a migration must
not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. Columns without a default, or with a constant one, rewrite no row."""
    op.execute("""
        ALTER TABLE predictions
            ADD COLUMN request_id text,
            ADD COLUMN retry_of uuid,
            ADD COLUMN recorded_at timestamptz
    """)
    op.execute("ALTER TABLE predictions ALTER COLUMN recorded_at SET DEFAULT clock_timestamp()")
    op.execute("ALTER TABLE batches ADD COLUMN errors jsonb NOT NULL DEFAULT '{}', ADD COLUMN retry_of uuid")
    op.execute("""
        UPDATE batches SET errors = counted.errors
        FROM (
            SELECT batch_id, jsonb_object_agg(error_code, n) AS errors
            FROM (
                SELECT batch_id, coalesce(error_code, '') AS error_code, count(*) AS n
                FROM predictions WHERE batch_id IS NOT NULL AND status = 'failed' GROUP BY 1, 2
            ) AS failed
            GROUP BY batch_id
        ) AS counted
        WHERE batches.id = counted.batch_id AND batches.failed > 0
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("ALTER TABLE batches DROP COLUMN retry_of, DROP COLUMN errors")
    op.execute("ALTER TABLE predictions DROP COLUMN recorded_at, DROP COLUMN retry_of, DROP COLUMN request_id")
