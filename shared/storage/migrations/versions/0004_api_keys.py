"""Creates the table of API keys: owner, role and limits.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration."""
    op.execute("""
        CREATE TABLE api_keys (
            id uuid PRIMARY KEY DEFAULT darkroom_uuid7(),
            owner text NOT NULL,
            hash text NOT NULL CONSTRAINT api_keys_hash UNIQUE,
            shown text NOT NULL,
            role text NOT NULL CONSTRAINT api_keys_role CHECK (role IN ('read', 'submit', 'admin')),
            rate double precision CONSTRAINT api_keys_rate CHECK (rate > 0),
            max_inflight integer CONSTRAINT api_keys_max_inflight CHECK (max_inflight > 0),
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            revoked_at timestamptz
        );
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("DROP TABLE api_keys")
