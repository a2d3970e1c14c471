"""Sums of the reports' counters by day, and triggers that drop a day's sums when one of its counters changes.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this migration. Nothing is summed here: upkeep does it, 50 ms a day and model. Only counting waits."""
    op.execute("""
        CREATE TABLE report_days (
            model text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (model, at)
        );

        CREATE TABLE report_day_counters (
            model text NOT NULL,
            at timestamptz NOT NULL,
            owner text NOT NULL,
            version text NOT NULL,
            variant text NOT NULL,
            figure text NOT NULL,
            bin text NOT NULL,
            n bigint NOT NULL,
            PRIMARY KEY (model, at, owner, version, variant, figure, bin)
        );

        CREATE FUNCTION darkroom_drop_changed_days() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            WITH dropped AS (
                DELETE FROM report_days WHERE (model, at) IN (
                    SELECT DISTINCT model, date_bin('24 hours', at, timestamptz 'epoch') FROM changed
                ) RETURNING model, at
            )
            DELETE FROM report_day_counters AS known USING dropped
            WHERE known.model = dropped.model AND known.at = dropped.at;
            RETURN NULL;
        END $$;

        CREATE TRIGGER drop_days_of_new_counters AFTER INSERT ON report_counters
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION darkroom_drop_changed_days();
        CREATE TRIGGER drop_days_of_changed_counters AFTER UPDATE ON report_counters
            REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION darkroom_drop_changed_days();
        CREATE TRIGGER drop_days_of_deleted_counters AFTER DELETE ON report_counters
            REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION darkroom_drop_changed_days();
    """)


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DROP TRIGGER drop_days_of_new_counters ON report_counters;
        DROP TRIGGER drop_days_of_changed_counters ON report_counters;
        DROP TRIGGER drop_days_of_deleted_counters ON report_counters;
        DROP FUNCTION darkroom_drop_changed_days();
        DROP TABLE report_day_counters, report_days;
    """)
