"""Feedback gets what reports compare, whose answer it is about and whether that is right, and goes with its prediction.

In rows from before these columns are null until upkeep has judged them. Plain SQL, never changed: a migration must not
depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. Columns without a default rewrite no row."""
    op.execute("""
        ALTER TABLE feedback
            ADD COLUMN model text,
            ADD COLUMN version text,
            ADD COLUMN variant text,
            ADD COLUMN status text,
            ADD COLUMN image_sha256 text,
            ADD COLUMN is_right boolean,
            ADD COLUMN error double precision;

        CREATE FUNCTION darkroom_delete_feedback() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM feedback WHERE prediction_id IN (SELECT id FROM old_rows);
            RETURN NULL;
        END $$;

        CREATE TRIGGER delete_feedback_of_deleted_predictions AFTER DELETE ON predictions
            REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION darkroom_delete_feedback();
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DROP TRIGGER delete_feedback_of_deleted_predictions ON predictions;
        DROP FUNCTION darkroom_delete_feedback();
        ALTER TABLE feedback
            DROP COLUMN error, DROP COLUMN is_right, DROP COLUMN image_sha256, DROP COLUMN status, DROP COLUMN variant,
            DROP COLUMN version, DROP COLUMN model
    """)
