"""Indexes on large tables, built while others write to them: after the migrations, outside any transaction."""

import time
from typing import Final

from sqlalchemy import Engine, text

INDEXES: Final = {
    "predictions_metadata": """
        CREATE INDEX CONCURRENTLY predictions_metadata ON predictions USING gin (metadata jsonb_path_ops)
        WHERE metadata <> '{}'
    """,
    "predictions_owner_error": """
        CREATE INDEX CONCURRENTLY predictions_owner_error ON predictions (owner, error_code, id)
        WHERE error_code IS NOT NULL
    """,
    "shadow_predictions_version": """
        CREATE INDEX CONCURRENTLY shadow_predictions_version ON shadow_predictions (model, version, prediction_id)
        INCLUDE (agrees, owner)
    """,
    "feedback_unjudged": "CREATE INDEX CONCURRENTLY feedback_unjudged ON feedback (id) WHERE model IS NULL",
}
"""Statements by the name of the index they build."""
REPLACED: Final = ("shadow_predictions_model",)
"""Indexes of earlier releases that one of these stands for; dropped once all are built."""

# Another number than the migrations': "indexes" in ASCII.
_LOCK: Final = int.from_bytes(b"indexes", "big")
_PAUSE: Final = 0.2
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_IS_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def build_indexes(engine: Engine) -> None:
    """Build the indexes that are missing, and again what a killed build left invalid. Blocks no writer.

    One process at a time: others wait, and then have none to build. They poll, since a statement that waits has a
    snapshot, which the build would wait for.
    """
    with engine.connect() as holder:
        while not holder.scalar(_TRY_LOCK, {"lock": _LOCK}):
            holder.rollback()
            time.sleep(_PAUSE)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for name, statement in INDEXES.items():
                valid = connection.scalar(_IS_VALID, {"name": name})
                if valid:
                    continue
                if valid is False:
                    connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
                connection.execute(text(statement))
            for name in REPLACED:
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
