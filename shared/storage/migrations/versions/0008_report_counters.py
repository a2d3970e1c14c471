"""Counters for reports by version, and the triggers that keep them equal to the predictions.

Plain SQL, never changed: a migration must not depend on later versions of `tables.py`.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = "at, model, owner, version, variant"


def _latency(milliseconds: str) -> str:
    logarithm = f"ln(least(greatest({milliseconds}, 0.001), 1e9))"
    return f"CASE WHEN computed AND {milliseconds} IS NOT NULL THEN ceil({logarithm} / ln(1.05::float8))::int END"


_COUNTS = " UNION ALL ".join(
    f"SELECT {_KEY}, '{figure}' AS figure, {figure}::text AS bin, count(*) AS n FROM facts "  # noqa: S608
    f"WHERE {figure} IS NOT NULL GROUP BY {_KEY}, {figure}"
    for figure in ("outcome", "queue", "predict", "total", "confidence", "class")
)


def upgrade() -> None:
    """Apply this migration. Existing predictions become pending, 0.5 µs a row; upkeep counts them, 5 µs a row."""
    op.execute("""
        CREATE TABLE report_counters (
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

        CREATE TABLE report_pending (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            ids uuid[] NOT NULL,
            rows integer NOT NULL
        );

        CREATE FUNCTION darkroom_note_new_predictions() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO report_pending (ids, rows)
            SELECT array_agg(id ORDER BY id), count(*) FROM (
                SELECT id, (row_number() OVER () - 1) / 1000 AS entry FROM new_rows
            ) AS known
            GROUP BY entry ORDER BY entry;
            RETURN NULL;
        END $$;
    """)
    # A deleted row is subtracted unless it is still pending. Statements after the lock see what others committed before
    # they gave it back, so "pending" is decided once for everybody.
    op.execute(f"""
        CREATE FUNCTION darkroom_subtract_deleted_predictions() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            lowest uuid := (SELECT id FROM old_rows ORDER BY id LIMIT 1);
            highest uuid := (SELECT id FROM old_rows ORDER BY id DESC LIMIT 1);
        BEGIN
            IF lowest IS NULL THEN
                RETURN NULL;
            END IF;
            PERFORM pg_advisory_xact_lock({int.from_bytes(b"counters", "big")});
            INSERT INTO report_counters AS known ({_KEY}, figure, bin, n)
            SELECT {_KEY}, figure, bin, -n FROM (
                WITH facts AS MATERIALIZED (
                    SELECT to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 300000 * 300)
                               AS at,
                           model, owner, version, variant, concat_ws(' ', status, source, error_code) AS outcome,
                           {_latency("queue_ms")} AS queue, {_latency("predict_ms")} AS predict,
                           {_latency("(extract(epoch FROM completed_at - created_at) * 1000)::float8")} AS total,
                           CASE WHEN classified AND jsonb_typeof(output->'confidence') = 'number'
                                THEN greatest(0, least(19, floor((output->>'confidence')::numeric * 20)))::int
                           END AS confidence,
                           CASE WHEN classified THEN left(output->>'predicted_class', 200) END AS class
                    FROM (
                        SELECT *, status = 'succeeded' AND source = 'model' AS computed,
                               status = 'succeeded' AND jsonb_typeof(output->'predicted_class') = 'string' AS classified
                        FROM old_rows
                        WHERE id NOT IN (
                            SELECT unnest(ids) FROM report_pending
                            WHERE ids[1] <= highest AND ids[cardinality(ids)] >= lowest
                        )
                    ) AS counted
                ) {_COUNTS}
            ) AS gone
            ORDER BY {_KEY}, figure, bin
            ON CONFLICT ({_KEY}, figure, bin) DO UPDATE SET n = known.n + excluded.n;
            DELETE FROM report_counters WHERE n = 0 AND (model, at) IN (
                SELECT DISTINCT model,
                       to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 300000 * 300)
                FROM old_rows
            );
            RETURN NULL;
        END $$;

        CREATE TRIGGER note_new_predictions AFTER INSERT ON predictions
            REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION darkroom_note_new_predictions();
        CREATE TRIGGER subtract_deleted_predictions AFTER DELETE ON predictions
            REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION darkroom_subtract_deleted_predictions();

        INSERT INTO report_pending (ids, rows)
        SELECT array_agg(id ORDER BY id), count(*) FROM (
            SELECT id, (row_number() OVER (ORDER BY id) - 1) / 500 AS entry FROM predictions
        ) AS known
        GROUP BY entry ORDER BY entry;
    """)  # noqa: S608  the texts are our own


def downgrade() -> None:
    """Undo this migration."""
    op.execute("""
        DROP TRIGGER note_new_predictions ON predictions;
        DROP TRIGGER subtract_deleted_predictions ON predictions;
        DROP FUNCTION darkroom_note_new_predictions();
        DROP FUNCTION darkroom_subtract_deleted_predictions();
        DROP TABLE report_pending;
        DROP TABLE report_counters;
    """)
