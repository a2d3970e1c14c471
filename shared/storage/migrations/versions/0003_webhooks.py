"""Webhooks: deliveries get ids in time order, a status and a destination; tables of attempts and of signing secrets.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration."""
    op.execute("""
        -- A UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, the version, the rest by chance.
        CREATE FUNCTION darkroom_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
            SELECT encode(set_bit(set_bit(overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1), 'hex')::uuid
        $$;

        ALTER TABLE webhook_deliveries
            ALTER COLUMN id SET DEFAULT darkroom_uuid7(),
            DROP COLUMN last_status,
            DROP COLUMN last_error,
            ADD COLUMN kind text NOT NULL DEFAULT 'prediction'
                CONSTRAINT webhook_deliveries_kind CHECK (kind IN ('prediction', 'batch')),
            ADD COLUMN status text NOT NULL DEFAULT 'pending'
                CONSTRAINT webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'exhausted')),
            ADD COLUMN body jsonb,
            ADD COLUMN destination text NOT NULL
                GENERATED ALWAYS AS (lower(substring(url FROM '^[a-zA-Z]+://[^/?#]*'))) STORED;
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (destination, next_attempt_at)
            WHERE status = 'pending';
        CREATE INDEX webhook_deliveries_owner ON webhook_deliveries (owner, id);

        ALTER TABLE batches ADD COLUMN base_url text NOT NULL DEFAULT '';

        CREATE TABLE webhook_attempts (
            delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
            started_at timestamptz NOT NULL,
            duration_ms double precision NOT NULL,
            status integer,
            error text,
            response text,
            PRIMARY KEY (delivery_id, started_at)
        );

        CREATE TABLE webhook_secrets (
            owner text NOT NULL,
            key text NOT NULL,
            retired_at timestamptz,
            PRIMARY KEY (owner, key)
        );
        CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (owner) WHERE retired_at IS NULL;
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DROP TABLE webhook_secrets, webhook_attempts;
        ALTER TABLE batches DROP COLUMN base_url;
        DROP INDEX webhook_deliveries_due, webhook_deliveries_owner;
        ALTER TABLE webhook_deliveries
            DROP COLUMN kind, DROP COLUMN status, DROP COLUMN body, DROP COLUMN destination,
            ADD COLUMN last_status integer,
            ADD COLUMN last_error text,
            ALTER COLUMN id SET DEFAULT gen_random_uuid();
        DROP FUNCTION darkroom_uuid7();
    """)
