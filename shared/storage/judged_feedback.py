"""Keeps beside each feedback whose answer it is about and whether that is right, so that a report reads nothing else.

Predictions never change, so neither does what is kept. Upkeep fills it in after the prediction is recorded; a report
judges what is not filled in yet itself, in the same statement, so it is exact at once.
"""

from typing import Final

import orjson
from sqlalchemy import Connection, text

from shared.domain.model_report import absolute_error, is_right


def answer_of(output: str) -> str:
    """Return SQL of what is compared with feedback, as text, without the scores of a thousand classes."""
    # Of 100,000 rows they would be gigabytes.
    members = ", ".join(f"'{name}', {output}->'{name}'" for name in ("predicted_class", "predicted_classes", "values"))
    return f"CAST(jsonb_build_object({members}) AS text)"


_UNJUDGED: Final = text(f"""
    SELECT told.id::text, label, value, p.model, p.version, p.variant, p.status, p.image_sha256,
           {answer_of("p.output")} AS output
    FROM feedback AS told JOIN predictions AS p ON p.id = told.prediction_id
    WHERE told.model IS NULL
    ORDER BY told.id LIMIT :rows
    FOR UPDATE OF told SKIP LOCKED
""")  # noqa: S608  the text is our own
"""Reads and locks the oldest feedback that is not judged and whose prediction is recorded."""

_JUDGE: Final = text("""
    UPDATE feedback SET model = one.model, version = one.version, variant = one.variant, status = one.status,
           image_sha256 = one.image_sha256, is_right = one.is_right, error = one.error
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:models AS text[]), CAST(:versions AS text[]), CAST(:variants AS text[]),
        CAST(:statuses AS text[]), CAST(:digests AS text[]), CAST(:right AS boolean[]), CAST(:errors AS float8[])
    ) AS one (id, model, version, variant, status, image_sha256, is_right, error)
    WHERE feedback.id = one.id
""")


def judge_feedback(connection: Connection, *, rows: int) -> int:
    """Judge up to so many rows of feedback whose prediction is recorded, in one commit; return how many.

    Safe twice, and in several processes: a row that is judged, or that another process judges now, is passed over. A
    killed one leaves its rows as they were.
    """
    with connection.begin():
        found = connection.execute(_UNJUDGED, {"rows": rows}).all()
        answers = [None if row.output is None else orjson.loads(row.output) for row in found]
        if found:
            judged = {
                "ids": [row.id for row in found],
                "models": [row.model for row in found],
                "versions": [row.version for row in found],
                "variants": [row.variant for row in found],
                "statuses": [row.status for row in found],
                "digests": [row.image_sha256 for row in found],
                "right": [
                    is_right(answer, label=row.label, value=row.value)
                    for row, answer in zip(found, answers, strict=True)
                ],
                "errors": [absolute_error(answer, row.value) for row, answer in zip(found, answers, strict=True)],
            }
            connection.execute(_JUDGE, judged)
    return len(found)
