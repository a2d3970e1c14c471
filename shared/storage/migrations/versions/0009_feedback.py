"""Feedback: what people say a prediction's right answer is. Ids of Postgres keep their order within a millisecond.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. Every delivery fits the wider constraint, so no row of theirs is rewritten."""
    op.execute("""
        -- A UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, the version, 12 bits of the millisecond's fraction
        -- (section 6.2, method 3), the rest by chance.
        CREATE OR REPLACE FUNCTION darkroom_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
            SELECT encode(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send(us / 1000) FROM 3)
                     || substring(int8send(28672 + us % 1000 * 4096 / 1000) FROM 7)
                FROM 1 FOR 8
            ), 'hex')::uuid
            FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS now
        $$;

        CREATE TABLE feedback (
            id uuid PRIMARY KEY DEFAULT darkroom_uuid7(),
            prediction_id uuid NOT NULL,
            owner text NOT NULL,
            label text,
            value jsonb,
            boxes jsonb,
            comment text,
            by text,
            key text,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT feedback_one CHECK (num_nonnulls(label, value, boxes) = 1)
        );
        CREATE INDEX feedback_prediction ON feedback (prediction_id, id);
        CREATE INDEX feedback_owner ON feedback (owner, id);
        CREATE UNIQUE INDEX feedback_key ON feedback (owner, key) WHERE key IS NOT NULL;

        ALTER TABLE webhook_deliveries
            DROP CONSTRAINT webhook_deliveries_kind,
            ADD CONSTRAINT webhook_deliveries_kind CHECK (kind IN ('prediction', 'batch', 'feedback'));
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DELETE FROM webhook_deliveries WHERE kind = 'feedback';
        ALTER TABLE webhook_deliveries
            DROP CONSTRAINT webhook_deliveries_kind,
            ADD CONSTRAINT webhook_deliveries_kind CHECK (kind IN ('prediction', 'batch'));
        DROP TABLE feedback;
        CREATE OR REPLACE FUNCTION darkroom_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
            SELECT encode(set_bit(set_bit(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1), 'hex')::uuid
        $$;
    """)
