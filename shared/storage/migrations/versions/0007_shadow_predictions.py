"""Creates the table of shadow predictions: what a model's shadow answered to images that its champion answered.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. The foreign key is checked at once, since the table is empty."""
    op.execute("""
        CREATE TABLE shadow_predictions (
            prediction_id uuid NOT NULL REFERENCES predictions (id) ON DELETE CASCADE,
            version_key text NOT NULL,
            owner text NOT NULL,
            model text NOT NULL,
            version text NOT NULL,
            variant text NOT NULL,
            status text NOT NULL CONSTRAINT shadow_predictions_status CHECK (status IN ('succeeded', 'failed')),
            output jsonb,
            error text,
            error_code text,
            agrees boolean,
            predict_ms double precision,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (prediction_id, version_key)
        );
        CREATE INDEX shadow_predictions_model ON shadow_predictions (model, version, prediction_id);
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("DROP TABLE shadow_predictions")
