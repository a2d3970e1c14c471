"""Creates the tables of predictions, batches and webhook deliveries.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration."""
    op.execute("""
        CREATE TABLE predictions (
            id uuid PRIMARY KEY,
            owner text NOT NULL,
            batch_id uuid,
            custom_id text,
            model text NOT NULL,
            version text NOT NULL,
            version_key text NOT NULL,
            variant text NOT NULL,
            status text NOT NULL CONSTRAINT predictions_status CHECK (status IN ('succeeded', 'failed', 'canceled')),
            source text NOT NULL CONSTRAINT predictions_source CHECK (source IN ('model', 'cache', 'coalesced')),
            image_sha256 text NOT NULL,
            image jsonb NOT NULL,
            output jsonb,
            error text,
            error_code text,
            attempts integer NOT NULL,
            created_at timestamptz NOT NULL,
            started_at timestamptz,
            completed_at timestamptz NOT NULL,
            queue_ms double precision,
            predict_ms double precision,
            batch_size integer,
            worker text,
            metadata jsonb NOT NULL,
            webhook jsonb,
            base_url text NOT NULL
        );
        CREATE INDEX predictions_owner ON predictions (owner, id);
        CREATE INDEX predictions_owner_model ON predictions (owner, model, id);
        CREATE INDEX predictions_owner_status ON predictions (owner, status, id) WHERE status <> 'succeeded';
        CREATE INDEX predictions_batch ON predictions (batch_id, id) WHERE batch_id IS NOT NULL;

        CREATE TABLE batches (
            id uuid PRIMARY KEY,
            owner text NOT NULL,
            total integer,
            succeeded integer NOT NULL DEFAULT 0,
            failed integer NOT NULL DEFAULT 0,
            canceled integer NOT NULL DEFAULT 0,
            webhook jsonb,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            completed_at timestamptz
        );
        CREATE INDEX batches_owner ON batches (owner, id);

        CREATE TABLE webhook_deliveries (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            owner text NOT NULL,
            subject uuid NOT NULL,
            event text NOT NULL,
            url text NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            last_status integer,
            last_error text,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            delivered_at timestamptz,
            CONSTRAINT webhook_deliveries_subject_event UNIQUE (subject, event)
        );
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("DROP TABLE webhook_deliveries, batches, predictions")
