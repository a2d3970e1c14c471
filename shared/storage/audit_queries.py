"""Queries with which `darkroom audit` looks for contradictions in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.domain.identifiers import BatchId, PredictionId, is_uuid
from shared.domain.pipeline_answers import wrong_steps
from shared.storage.recording import UNSTORABLE

_BATCHES: Final = 200
_ROWS_READ: Final = 200_000
"""How many of the newest batches, and of the newest rows of a table, are checked."""

_ROWS = text("""
    SELECT id::text, status, output, error IS NOT DISTINCT FROM :unstorable AS stripped
    FROM predictions WHERE id = ANY(CAST(:ids AS uuid[]))
""")
"""Reads the rows of jobs, as far as there are any."""

_DESCRIBED = text("SELECT id::text FROM batches WHERE id = ANY(CAST(:ids AS uuid[])) AND total IS NOT NULL")
"""Reads those of the batches whose number of items is recorded."""

_COUNTERS = text("""
    WITH recent AS (SELECT * FROM batches ORDER BY id DESC LIMIT :batches),
    parts AS (
        SELECT batch_id, status, coalesce(error_code, '') AS code, count(*) AS n
        FROM predictions WHERE batch_id IN (SELECT id FROM recent) GROUP BY 1, 2, 3
    ), counted AS (
        SELECT batch_id, sum(n) FILTER (WHERE status = 'succeeded') AS succeeded,
               sum(n) FILTER (WHERE status = 'failed') AS failed,
               sum(n) FILTER (WHERE status = 'canceled') AS canceled,
               jsonb_object_agg(code, n) FILTER (WHERE status = 'failed') AS errors
        FROM parts GROUP BY batch_id
    )
    SELECT id::text, ARRAY[b.succeeded, b.failed, b.canceled] AS counters,
           ARRAY[coalesce(c.succeeded, 0), coalesce(c.failed, 0), coalesce(c.canceled, 0)]::integer[] AS counted,
           b.errors, coalesce(c.errors, '{}') AS failures, b.total, b.completed_at IS NOT NULL AS completed
    FROM recent AS b LEFT JOIN counted AS c ON c.batch_id = b.id
    WHERE (b.succeeded, b.failed, b.canceled)
          IS DISTINCT FROM (coalesce(c.succeeded, 0), coalesce(c.failed, 0), coalesce(c.canceled, 0))
       OR b.errors <> coalesce(c.errors, '{}')
       OR (b.completed_at IS NOT NULL) IS DISTINCT FROM coalesce(b.total = b.succeeded + b.failed + b.canceled, false)
    ORDER BY b.id
""")
"""Finds batches whose counters, or failures by code, differ from their rows, or whose completion differs from their
counters. One statement, so all are of the same snapshot."""

_MISSING_DELIVERIES = text("""
    WITH ended AS (
        SELECT id, 'prediction' AS kind, webhook, completed_at
        FROM (SELECT * FROM predictions ORDER BY id DESC LIMIT :rows) AS latest
        UNION ALL
        SELECT id, 'batch', webhook, completed_at FROM (SELECT * FROM batches ORDER BY id DESC LIMIT :rows) AS latest
        WHERE completed_at IS NOT NULL
    )
    SELECT ended.id::text, ended.kind
    FROM ended LEFT JOIN webhook_deliveries AS delivery ON delivery.subject = ended.id AND delivery.event = 'completed'
    WHERE ended.webhook->>'url' IS NOT NULL AND coalesce(ended.webhook->'events' ? 'completed', true)
      AND delivery.id IS NULL AND ended.completed_at > clock_timestamp() - interval '1 day'
    ORDER BY ended.id
    LIMIT 100
""")
"""Finds what ended within a day, has a webhook for that, and has no delivery. Older deliveries may be deleted."""

_CONTRADICTIONS = text("""
    WITH recent AS (
        SELECT version_key, image_sha256, output->>'predicted_index' AS index,
               (output->>'confidence')::float8 AS confidence
        FROM (SELECT * FROM predictions ORDER BY id DESC LIMIT :rows) AS latest
        WHERE status = 'succeeded' AND jsonb_typeof(output->'confidence') = 'number'
              AND output ?& ARRAY['predicted_class', 'predicted_index', 'probabilities']
              AND NOT coalesce((output->'pipeline'->>'degraded')::boolean, false)
    )
    SELECT version_key, image_sha256
    FROM recent
    GROUP BY version_key, image_sha256
    HAVING max(confidence) - min(confidence) > 0.001 OR (count(DISTINCT index) > 1 AND max(confidence) > 0.501)
    ORDER BY version_key, image_sha256
    LIMIT 100
""")
"""Finds images to which one version of a model gave different classes. Confidences may differ by 0.001, since the size
of a micro-batch changes the last digits; and where two classes share the highest confidence, at most a half, either may
be predicted."""

_PIPELINES = text("""
    SELECT id::text, output
    FROM (SELECT * FROM predictions ORDER BY id DESC LIMIT :rows) AS latest
    WHERE variant = 'pipeline' AND status = 'succeeded' AND error IS DISTINCT FROM :unstorable
    LIMIT 10000
""")
"""Reads outputs of pipelines among the latest rows."""

_WRONG_FEEDBACK = text("""
    SELECT id::text, wrong FROM (
        SELECT latest.id, CASE
            WHEN judged.id IS NULL AND latest.created_at < clock_timestamp() - interval '1 hour'
            THEN 'is on a prediction that has no row'
            WHEN judged.owner <> latest.owner THEN 'is of another owner than its prediction'
            WHEN (latest.label, latest.value, latest.boxes, latest.comment, latest.by) IS NOT DISTINCT FROM
                 (before.label, before.value, before.boxes, before.comment, before.by) AND before.id IS NOT NULL
            THEN 'says the same as the one before it'
            WHEN latest.model IS NOT NULL AND judged.id IS NOT NULL AND (
                (latest.model, latest.version, latest.variant, latest.status, latest.image_sha256) IS DISTINCT FROM
                (judged.model, judged.version, judged.variant, judged.status, judged.image_sha256)
                OR latest.label IS NOT NULL AND latest.is_right IS DISTINCT FROM (
                    CASE WHEN jsonb_typeof(judged.output->'predicted_class') = 'string'
                    THEN judged.output->>'predicted_class' = latest.label END
                )
            ) THEN 'is judged otherwise than its prediction says'
        END AS wrong
        FROM (SELECT * FROM feedback ORDER BY id DESC LIMIT :rows) AS latest
        LEFT JOIN predictions AS judged ON judged.id = latest.prediction_id
        LEFT JOIN LATERAL (
            SELECT * FROM feedback AS one WHERE one.prediction_id = latest.prediction_id AND one.id < latest.id
            ORDER BY one.id DESC LIMIT 1
        ) AS before ON true
    ) AS compared
    WHERE wrong IS NOT NULL
    ORDER BY id
    LIMIT 100
""")
"""Finds feedback without its prediction (which may be recorded a while later), of another owner, given twice, or judged
wrongly."""


_WRONG_SHADOWS = text("""
    SELECT shadow.prediction_id::text AS id, shadow.version_key,
           CASE WHEN known.id IS NULL THEN 'has no prediction'
                WHEN known.version_key = shadow.version_key THEN 'is of the version that answered the client'
                ELSE 'is beside a prediction that the champion did not compute' END AS wrong
    FROM (SELECT * FROM shadow_predictions ORDER BY prediction_id DESC LIMIT :rows) AS shadow
    LEFT JOIN predictions AS known ON known.id = shadow.prediction_id
    WHERE known.id IS NULL OR known.version_key = shadow.version_key OR known.owner <> shadow.owner
       OR (known.variant, known.source, known.status) IS DISTINCT FROM ('champion', 'model', 'succeeded')
    ORDER BY 1
    LIMIT 100
""")
"""Finds shadow predictions without their prediction, and those that a client may have got. The primary key lets none be
there twice."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row's status and output; `stripped` where the output could not be stored."""

    status: str
    output: Any
    stripped: bool


def rows_of(connection: Connection, ids: Sequence[PredictionId]) -> dict[PredictionId, Row]:
    """Return the rows of these jobs, as far as there are any."""
    parameters = {"ids": [id for id in ids if is_uuid(id)], "unstorable": UNSTORABLE}
    found = connection.execute(_ROWS, parameters)
    return {PredictionId(row.id): Row(row.status, row.output, row.stripped) for row in found}


def described_batches(connection: Connection, ids: Sequence[BatchId]) -> set[BatchId]:
    """Return those of the batches whose number of items is recorded."""
    return {BatchId(id) for id in connection.execute(_DESCRIBED, {"ids": list(ids)}).scalars()}


def wrong_batches(connection: Connection) -> list[str]:
    """Return a sentence for each of the latest batches whose counters, failures by code or completion are wrong."""
    return [f"batch {row.id}: {_wrong_batch(row)}" for row in connection.execute(_COUNTERS, {"batches": _BATCHES})]


def _wrong_batch(row: Any) -> str:
    """Return what is wrong with a batch; the first thing where it is several."""
    if row.counters != row.counted:
        return f"its counters (succeeded, failed, canceled) are {row.counters}, its rows {row.counted}"
    if row.errors != row.failures:
        return f"its failures by code are {row.errors}, its rows {row.failures}"
    return f"{sum(row.counters)} of {row.total} items are in and completed is {row.completed}"


def missing_deliveries(connection: Connection) -> list[str]:
    """Return a sentence for each of the latest predictions and batches that ended without their webhook's delivery."""
    return [
        f"{row.kind} {row.id}: it has ended, wants its webhook called, and has no delivery"
        for row in connection.execute(_MISSING_DELIVERIES, {"rows": _ROWS_READ})
    ]


def contradictions(connection: Connection) -> list[str]:
    """Return a sentence for each image among the latest rows to which one version gave different outputs."""
    return [
        f"image {row.image_sha256}: version {row.version_key} gave it different outputs"
        for row in connection.execute(_CONTRADICTIONS, {"rows": _ROWS_READ})
    ]


def wrong_pipelines(connection: Connection) -> list[str]:
    """Return a sentence for each of the latest pipelines' outputs that lacks a step which its condition asks for."""
    found = connection.execute(_PIPELINES, {"rows": _ROWS_READ, "unstorable": UNSTORABLE})
    return [f"prediction {row.id}: {wrong}" for row in found if (wrong := wrong_steps(row.output))]


def wrong_feedback(connection: Connection) -> list[str]:
    """Return a sentence for each of the latest rows of feedback that can't be."""
    return [f"feedback {row.id}: it {row.wrong}" for row in connection.execute(_WRONG_FEEDBACK, {"rows": _ROWS_READ})]


def wrong_shadow_predictions(connection: Connection) -> list[str]:
    """Return a sentence for each of the latest shadow predictions that is not beside a champion's own success."""
    return [
        f"shadow prediction of {row.id} by {row.version_key}: it {row.wrong}"
        for row in connection.execute(_WRONG_SHADOWS, {"rows": _ROWS_READ})
    ]
